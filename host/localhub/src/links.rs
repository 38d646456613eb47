//! Who is connected now, and what is on its way to them.
//!
//! One [`Link`] per identity: a newer connection takes the place of the older one, whose direct method calls in
//! flight then fail as IoT Hub's do (`iothub.md` §1.8). All of it lives in memory under one lock that is never
//! held over an `await`. A message for a link goes through a bounded queue; a device that does not drain its
//! queue is cut off rather than waited for. Who listens to events is told under the same lock, so that connected and
//! disconnected come in the order in which they were so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::events::{Events, What};
use crate::identity::Name;
use crate::limits::{Budget, Share};
use crate::mqtt::Subscriptions;

/// What a connection is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Publish at quality of service 0.
    Publish { topic: String, payload: Bytes, held: Share },
    /// Look into the device's inbox: there is a message from the cloud.
    Mail,
    /// End the connection without a packet, as IoT Hub does.
    Close(&'static str),
}

/// A device's answer to a direct method, as it arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) payload: Bytes,
}

/// The device connected anew before it answered.
#[derive(Debug)]
pub(crate) struct Replaced;

/// What became of a message for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is in the connection's queue.
    Queued,
    /// The device is connected but has no such subscription.
    NotSubscribed,
    /// The device is not connected (or was just cut off for not draining its queue).
    Offline,
}

struct Link {
    number: u64,
    /// What the queue may hold.
    queue: Arc<Budget>,
    commands: mpsc::Sender<Box<Command>>,
    subscriptions: Subscriptions,
    calls: HashMap<String, oneshot::Sender<Result<Answer, Replaced>>>,
}

/// The table of connections.
pub(crate) struct Links {
    links: Mutex<HashMap<Name, Link>>,
    changed: watch::Sender<u64>,
    events: Events,
    memory: Arc<Budget>,
    queue_size: usize,
}

impl Links {
    /// Messages that wait count against `memory`, and those of one connection may have `queue_size` bytes.
    pub(crate) fn new(events: Events, memory: Arc<Budget>, queue_size: usize) -> Self {
        let changed = watch::Sender::new(0);
        Self { links: Mutex::new(HashMap::new()), changed, events, memory, queue_size }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Link>> {
        // Nothing panics while it holds the lock; if something did, the table is still whole.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection and evicts an older one. The number tells connections of one identity apart.
    pub(crate) fn attach(
        &self,
        name: &Name,
        commands: mpsc::Sender<Box<Command>>,
        subscriptions: Subscriptions,
    ) -> u64 {
        let mut links = self.lock();
        let mut number = 0;
        self.changed.send_modify(|last| {
            *last += 1;
            number = *last;
        });
        let link = Link {
            number,
            queue: self.memory.below(self.queue_size),
            commands,
            subscriptions,
            calls: HashMap::new(),
        };
        if let Some(old) = links.insert(name.clone(), link) {
            let reason = "a newer connection of the same device took over";
            self.events.tell(name, &What::Disconnected { reason });
            old.end(reason, Some(()));
        }
        self.events.tell(name, &What::Connected);
        number
    }

    /// Removes a connection, unless it was closed from here or a newer one has taken its place. The reason is told.
    /// True if it left the identity without one.
    pub(crate) fn detach(&self, name: &Name, number: u64, reason: &str) -> bool {
        let mut links = self.lock();
        let present = links.get(name).map(|link| link.number);
        if present == Some(number) {
            links.remove(name);
            self.events.tell(name, &What::Disconnected { reason });
        }
        present.is_none_or(|present| present == number)
    }

    /// Tells what the connection has subscribed to by now.
    pub(crate) fn subscribe(&self, name: &Name, number: u64, subscriptions: Subscriptions) {
        if let Some(link) = self.lock().get_mut(name).filter(|link| link.number == number) {
            link.subscriptions = subscriptions;
        }
        self.changed.send_modify(|last| *last += 1);
    }

    /// Ends an identity's connection, and for a device those of its modules too. True if there was one.
    pub(crate) fn close(&self, name: &Name, reason: &'static str) -> bool {
        let mut links = self.lock();
        let below = |other: &&Name| {
            *other == name || (name.module_id().is_none() && other.device_id() == name.device_id())
        };
        let names: Vec<Name> = links.keys().filter(below).cloned().collect();
        for name in &names {
            if let Some(link) = links.remove(name) {
                self.events.tell(name, &What::Disconnected { reason });
                link.end(reason, None);
            }
        }
        !names.is_empty()
    }

    /// True while the identity has a connection.
    pub(crate) fn is_connected(&self, name: &Name) -> bool {
        self.lock().contains_key(name)
    }

    /// The number of connections.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Changes whenever someone connects or subscribes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Puts a message into a connection's queue, if it has subscribed to the topic.
    pub(crate) fn publish(&self, name: &Name, topic: String, payload: Bytes) -> Delivery {
        let mut links = self.lock();
        let Some(link) = links.get_mut(name) else { return Delivery::Offline };
        if !link.subscriptions.matches(&topic) {
            return Delivery::NotSubscribed;
        }
        let held = link.queue.take(topic.len() + payload.len());
        let queued =
            |held| link.commands.try_send(Box::new(Command::Publish { topic, payload, held })).is_ok();
        if held.is_some_and(queued) {
            return Delivery::Queued;
        }
        self.cut(&mut links, name);
        Delivery::Offline
    }

    /// Ends a connection whose queue is full.
    fn cut(&self, links: &mut HashMap<Name, Link>, name: &Name) {
        if let Some(link) = links.remove(name) {
            let reason = "the device does not read what it is sent";
            self.events.tell(name, &What::Disconnected { reason });
            link.end(reason, None);
        }
    }

    /// Lets a connected device's session look into its inbox.
    pub(crate) fn wake(&self, name: &Name) {
        let mut links = self.lock();
        let Some(link) = links.get_mut(name) else { return };
        if link.commands.try_send(Box::new(Command::Mail)).is_err() {
            self.cut(&mut links, name);
        }
    }

    /// Sends a direct method request; its answer comes out of the receiver. The receiver fails when the
    /// connection ends without an answer.
    pub(crate) fn call(
        &self,
        name: &Name,
        request_id: &str,
        topic: String,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Result<Answer, Replaced>>, Delivery> {
        let (sender, receiver) = oneshot::channel();
        if let Some(link) = self.lock().get_mut(name) {
            link.calls.insert(request_id.to_owned(), sender);
        }
        match self.publish(name, topic, payload) {
            Delivery::Queued => Ok(receiver),
            other => {
                self.forget(name, request_id);
                Err(other)
            }
        }
    }

    /// Stops waiting for an answer.
    pub(crate) fn forget(&self, name: &Name, request_id: &str) {
        if let Some(link) = self.lock().get_mut(name) {
            link.calls.remove(request_id);
        }
    }

    /// Hands a device's answer to the one who waits for it. A late or unknown one is dropped, as IoT Hub does.
    pub(crate) fn answer(&self, name: &Name, number: u64, request_id: &str, answer: Answer) {
        let waiting = match self.lock().get_mut(name) {
            Some(link) if link.number == number => link.calls.remove(request_id),
            _ => None,
        };
        match waiting {
            Some(sender) => drop(sender.send(Ok(answer))),
            None => tracing::debug!(device = %name, request_id, "an answer that nobody waits for"),
        }
    }
}

impl Link {
    /// Lets the connection end and, when it was replaced, its callers know. The close command may find the queue
    /// full; then the dropped sender ends the connection just as well.
    fn end(self, reason: &'static str, replaced: Option<()>) {
        drop(self.commands.try_send(Box::new(Command::Close(reason))));
        if replaced.is_some() {
            for (_, waiting) in self.calls {
                drop(waiting.send(Err(Replaced)));
            }
        }
    }
}
