//! What happens in the hub, told to whoever listens: the page, a monitor, a test.
//!
//! [`Events::tell`] never waits and never fails. What nobody listens for costs one atomic load: a [`What`] only
//! borrows, and becomes text when somebody wants its kind, once for all listeners. Memory is bounded twice: at most
//! [`WAITING`] events wait for the slowest listener, and together they hold at most [`ROOM`] bytes. A listener that
//! falls behind, or an event that finds no room, shows as [`Heard::Missed`]: what was heard before and after is whole
//! and in order, and who needs the state reads it anew.
//!
//! Events are told after the change that they speak of is durable. They are not kept: what happened before one
//! listened is read from twins, jobs and the log of the wire.

mod kind;
mod what;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

pub use self::kind::{Kind, Kinds};
pub use self::what::{Section, Text, What};
use crate::clock;
use crate::identity::Name;

/// How many events may wait for a listener.
const WAITING: usize = 4096;
/// How many bytes the waiting events may hold together.
const ROOM: usize = 16 * 1024 * 1024;

/// The bus. Cheap to clone; clones are the same bus.
#[derive(Clone)]
pub struct Events(Arc<Bus>);

struct Bus {
    /// Made when somebody first listens: its slots are there at once.
    channel: OnceLock<broadcast::Sender<Told>>,
    /// Listeners for each kind, in the order of [`Kind::ALL`].
    listeners: [AtomicUsize; Kind::ALL.len()],
    room: Arc<Semaphore>,
}

#[derive(Clone)]
enum Told {
    Event(Arc<Event>),
    NoRoom(Kind),
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// What kind it is of.
    pub kind: Kind,
    /// The device that it is about, or whose module; `None` when it is about the hub.
    pub device: Option<String>,
    /// JSON text: `{"kind", "time", "device"?, "module"?, …}` with the members of [`What`].
    pub json: String,
    _room: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct Shape<'a> {
    #[serde(flatten)]
    what: &'a What<'a>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Bus {
            channel: OnceLock::new(),
            listeners: [const { AtomicUsize::new(0) }; Kind::ALL.len()],
            room: Arc::new(Semaphore::new(ROOM)),
        }))
    }

    /// True while somebody listens for the kind. For tellers who must do work before they can tell.
    #[must_use]
    pub fn is_wanted(&self, kind: Kind) -> bool {
        self.0.listeners.get(kind.index()).is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Tells what happened, to a device (or module) or, with `None`, in the hub as a whole.
    pub fn tell<'a>(&self, about: impl Into<Option<&'a Name>>, what: &What<'_>) {
        let kind = what.kind();
        if !self.is_wanted(kind) {
            return;
        }
        let Some(channel) = self.0.channel.get() else { return };
        let about = about.into();
        let device = about.map(Name::device_id);
        let shape =
            Shape { what, time: clock::now_text(), device, module: about.and_then(|name| name.module_id()) };
        let json = match serde_json::to_string(&shape) {
            Ok(json) => json,
            Err(error) => return tracing::error!(?kind, %error, "an event could not be written"),
        };
        let bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
        let told = match Arc::clone(&self.0.room).try_acquire_many_owned(bytes) {
            Ok(room) => {
                Told::Event(Arc::new(Event { kind, device: device.map(Into::into), json, _room: room }))
            }
            Err(_full) => Told::NoRoom(kind),
        };
        // Fails when the last listener just left, which is as well.
        drop(channel.send(told));
    }

    /// Listens from now on for some kinds, of all devices or of one and its modules.
    #[must_use]
    pub fn listen(&self, kinds: Kinds, device: Option<String>) -> Listener {
        let receiver = self.0.channel.get_or_init(|| broadcast::Sender::new(WAITING)).subscribe();
        for kind in kinds.iter() {
            if let Some(count) = self.0.listeners.get(kind.index()) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Listener { receiver, kinds, device, bus: Arc::clone(&self.0) }
    }
}

/// One who listens. Dropping it ends that.
pub struct Listener {
    receiver: broadcast::Receiver<Told>,
    kinds: Kinds,
    device: Option<String>,
    bus: Arc<Bus>,
}

/// What a listener hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// An event that it asked for.
    Event(Arc<Event>),
    /// So many events were lost, perhaps not all of them asked for.
    Missed(u64),
}

impl Listener {
    /// The next; `None` never comes while the hub is there. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.receiver.recv().await {
                Ok(Told::Event(event)) => {
                    let about = self.device.is_none() || self.device == event.device;
                    if about && self.kinds.contains(event.kind) {
                        return Some(Heard::Event(event));
                    }
                }
                Ok(Told::NoRoom(kind)) if self.kinds.contains(kind) => return Some(Heard::Missed(1)),
                Ok(Told::NoRoom(_)) => {}
                Err(RecvError::Lagged(missed)) => return Some(Heard::Missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for kind in self.kinds.iter() {
            if let Some(count) = self.bus.listeners.get(kind.index()) {
                count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn next(listener: &mut Listener) -> Value {
        match listener.next().await.unwrap() {
            Heard::Event(event) => serde_json::from_str(&event.json).unwrap(),
            Heard::Missed(missed) => json!({ "missed": missed }),
        }
    }

    #[tokio::test]
    async fn a_listener_hears_the_kinds_and_the_device_it_asked_for() {
        let events = Events::new();
        let (device, module) = (Name::device("d").unwrap(), Name::module("d", "m").unwrap());
        events.tell(&device, &What::Created);
        let mut listener = events.listen(Kinds::parse("connected,method").unwrap(), Some("d".into()));
        assert!(events.is_wanted(Kind::Method) && !events.is_wanted(Kind::Packet));
        events.tell(&device, &What::Created);
        events.tell(&Name::device("e").unwrap(), &What::Connected);
        events.tell(&module, &What::Connected);
        let heard = next(&mut listener).await;
        assert_eq!((&heard["kind"], &heard["device"]), (&json!("connected"), &json!("d")));
        assert_eq!(heard["module"], "m");
        drop(listener);
        assert!(!events.is_wanted(Kind::Method));
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_how_much_is_missing_and_nobody_waits() {
        let events = Events::new();
        let device = Name::device("d").unwrap();
        let mut listener = events.listen(Kinds::ALL, None);
        for _ in 0..WAITING + 10 {
            events.tell(&device, &What::Connected);
        }
        assert_eq!(next(&mut listener).await["missed"], 10);
        assert_eq!(next(&mut listener).await["kind"], "connected");
    }

    #[tokio::test]
    async fn large_events_are_bounded_by_their_bytes() {
        let events = Events::new();
        let device = Name::device("d").unwrap();
        let mut listener = events.listen(Kinds::ALL, None);
        let body = vec![b'x'; 256 * 1024];
        let many = ROOM / body.len() + 1;
        for _ in 0..many {
            events.tell(&device, &What::Telemetry { properties: "", body: Text(&body) });
        }
        let mut missed = 0;
        for _ in 0..many {
            missed += u32::from(next(&mut listener).await.get("missed").is_some());
        }
        assert!((1..10).contains(&missed), "{missed}");
        events.tell(&device, &What::Connected);
        assert_eq!(next(&mut listener).await["kind"], "connected", "room comes back");
    }
}
