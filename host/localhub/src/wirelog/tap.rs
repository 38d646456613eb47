//! The log's place on a connection: a [`Wire`] around another.
//!
//! Until the client is known, what it says waits here, at most [`WAITING`] packets; what a client says that is never
//! let in is dropped, so that nobody writes into the log of a device that is not theirs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::framer::Framer;
use super::packet::Direction;
use super::seen::Seen;
use super::{Ring, WireLog};
use crate::events::What;
use crate::identity::Name;
use crate::mqtt::Wire;

const WAITING: usize = 8;
/// A device without a ring looks for one this often, or when there was a change.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A wire whose packets are logged.
pub(crate) struct Tap<W> {
    wire: W,
    read: Framer,
    written: Framer,
    owner: Owner,
}

enum Owner {
    Unknown { log: WireLog, waiting: Vec<Seen> },
    Known(Known),
}

struct Known {
    log: WireLog,
    name: Name,
    ring: Option<Arc<Ring>>,
    looked: (u64, Instant),
}

impl<W> Tap<W> {
    pub(crate) fn new(wire: W, log: WireLog) -> Self {
        Self {
            wire,
            read: Framer::new(Direction::In),
            written: Framer::new(Direction::Out),
            owner: Owner::Unknown { log, waiting: Vec::new() },
        }
    }

    /// From now on the packets are this client's; so are those that waited.
    pub(crate) fn belongs_to(&mut self, name: &Name) {
        if let Owner::Unknown { log, waiting } = &mut self.owner {
            let now = Instant::now();
            let (ring, looked) = (log.ring(name.device_id(), now), (log.changes(), now));
            let mut known = Known { log: log.clone(), name: name.clone(), ring, looked };
            std::mem::take(waiting).into_iter().for_each(|seen| known.tell(seen));
            self.owner = Owner::Known(known);
        }
    }
}

impl Owner {
    fn wants(&mut self) -> bool {
        match self {
            Self::Unknown { waiting, .. } => waiting.len() < WAITING,
            Self::Known(known) => known.wants(),
        }
    }

    fn take(&mut self, seen: Seen) {
        match self {
            Self::Unknown { waiting, .. } => waiting.push(seen),
            Self::Known(known) => known.tell(seen),
        }
    }
}

impl Known {
    fn wants(&mut self) -> bool {
        if self.ring.is_none() {
            let (changes, now) = (self.log.changes(), Instant::now());
            if changes != self.looked.0 || now.duration_since(self.looked.1) > LOOK_EVERY {
                self.looked = (changes, now);
                self.ring = self.log.ring(self.name.device_id(), now);
            }
        }
        self.ring.is_some() || self.log.is_listened_to()
    }

    fn tell(&mut self, seen: Seen) {
        if self.log.is_listened_to() {
            self.log.0.events.tell(&self.name, &What::Packet(&seen.packet()));
        }
        let module = self.name.module_id();
        if self.ring.as_ref().is_some_and(|ring| !ring.push(module, seen, Instant::now())) {
            self.ring = None;
        }
    }
}

impl<W: Wire> Wire for Tap<W> {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let bytes = self.wire.read().await?;
        if let Some(bytes) = &bytes {
            let wanted = self.owner.wants();
            self.read.feed(bytes, wanted, |seen| self.owner.take(seen));
        }
        Ok(bytes)
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let wanted = self.owner.wants();
        self.written.feed(&bytes, wanted, |seen| self.owner.take(seen));
        self.wire.write(bytes).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.wire.close().await
    }
}
