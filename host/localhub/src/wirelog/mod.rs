//! What crossed the wire, device by device: the last packets of each, as a developer wants to see them.
//!
//! A [`Tap`] sits on a connection's byte channel, beside the session and not in it: it sees the bytes that the client
//! sent and got, whatever the session made of them. A device's packets (its modules' too) go into a ring of at most
//! [`PACKETS`] entries and [`BYTES`] bytes, bodies cut at 1 KiB. There are at most [`RINGS`] rings, so that memory does not
//! grow with the fleet. A free ring goes to the first device that sends something; when none is free, one that was
//! silent for [`SILENT`] is given away, so that a large fleet does not wash through the log. Who asks for a device's
//! log has the device watched for [`WATCHED`]: it gets a ring at once, and keeps it.
//!
//! Passwords never get here: of a CONNECT's password nothing but the size is read. Signatures and keys in topics and
//! bodies (a download link's `sig=`, a connection string) are replaced before they are kept. Nothing is kept over a
//! restart.

mod framer;
mod packet;
mod redacted;
mod seen;
mod tap;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

pub use self::packet::{Direction, Packet};
use self::seen::Seen;
pub(crate) use self::tap::Tap;
use crate::clock;
use crate::events::{Events, Kind};

/// How many packets of a device are kept.
const PACKETS: usize = 200;
/// And how many bytes of them.
const BYTES: usize = 96 * 1024;
/// Of how many devices.
const RINGS: usize = 64;
/// After this long without a packet a device may lose its ring to another.
const SILENT: Duration = Duration::from_secs(60);
/// How long a device is watched after its log was asked for.
const WATCHED: Duration = Duration::from_secs(600);

/// The log. Cheap to clone; clones are the same log.
#[derive(Clone)]
pub(crate) struct WireLog(Arc<Shared>);

struct Shared {
    rings: Mutex<HashMap<String, Arc<Ring>>>,
    /// Counts changes after which a device without a ring might get one.
    changes: AtomicU64,
    events: Events,
}

/// One device's packets.
struct Ring(Mutex<Entries>);

struct Entries {
    packets: VecDeque<Noted>,
    bytes: usize,
    last: Instant,
    watched_until: Instant,
    given_away: bool,
}

/// A packet in a ring.
struct Noted {
    at: Timestamp,
    module: Option<String>,
    seen: Seen,
}

/// A packet as the log shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(flatten)]
    packet: Packet,
}

impl WireLog {
    pub(crate) fn new(events: Events) -> Self {
        Self(Arc::new(Shared { rings: Mutex::new(HashMap::new()), changes: AtomicU64::new(0), events }))
    }

    /// A device's packets, oldest first; from now on the device is watched.
    pub(crate) fn watch(&self, device: &str, now: Instant) -> Vec<Entry> {
        let ring = {
            let mut rings = self.rings();
            if !rings.contains_key(device) {
                make_room(&mut rings, now);
                self.0.changes.fetch_add(1, Ordering::Relaxed);
            }
            Arc::clone(rings.entry(device.to_owned()).or_insert_with(|| Arc::new(Ring::new(now))))
        };
        let mut entries = ring.lock();
        entries.watched_until = now + WATCHED;
        let shown = entries.packets.iter().map(|noted| Entry {
            time: clock::text(noted.at),
            module: noted.module.clone(),
            packet: noted.seen.packet(),
        });
        shown.collect()
    }

    /// The ring of a device; `None` while all are taken.
    fn ring(&self, device: &str, now: Instant) -> Option<Arc<Ring>> {
        let mut rings = self.rings();
        if let Some(ring) = rings.get(device) {
            return Some(Arc::clone(ring));
        }
        if rings.len() >= RINGS {
            let is_silent = |ring: &Arc<Ring>| {
                let entries = ring.lock();
                now.duration_since(entries.last) > SILENT && entries.watched_until <= now
            };
            let silent = rings.iter().filter(|(_, ring)| is_silent(ring));
            let longest = silent.min_by_key(|(_, ring)| ring.lock().last).map(|(device, _)| device.clone());
            give_away(&mut rings, &longest?);
        }
        Some(Arc::clone(rings.entry(device.to_owned()).or_insert_with(|| Arc::new(Ring::new(now)))))
    }

    fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Relaxed)
    }

    fn is_listened_to(&self) -> bool {
        self.0.events.is_wanted(Kind::Packet)
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<String, Arc<Ring>>> {
        self.0.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the ring away that was silent for longest, a watched one only if all are, if there is no room for one more.
fn make_room(rings: &mut HashMap<String, Arc<Ring>>, now: Instant) {
    if rings.len() < RINGS {
        return;
    }
    let least = rings.iter().min_by_key(|(_, ring)| {
        let entries = ring.lock();
        (entries.watched_until > now, entries.last)
    });
    if let Some(device) = least.map(|(device, _)| device.clone()) {
        give_away(rings, &device);
    }
}

fn give_away(rings: &mut HashMap<String, Arc<Ring>>, device: &str) {
    if let Some(ring) = rings.remove(device) {
        let mut entries = ring.lock();
        entries.given_away = true;
        entries.packets = VecDeque::new();
    }
}

impl Ring {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(Entries {
            packets: VecDeque::new(),
            bytes: 0,
            last: now,
            watched_until: now,
            given_away: false,
        }))
    }

    /// False when the ring is another device's by now.
    fn push(&self, module: Option<&str>, seen: Seen, now: Instant) -> bool {
        let mut entries = self.lock();
        if entries.given_away {
            return false;
        }
        entries.last = now;
        entries.bytes += seen.memory();
        entries.packets.push_back(Noted { at: clock::now(), module: module.map(str::to_owned), seen });
        while entries.packets.len() > PACKETS || entries.bytes > BYTES {
            let Some(oldest) = entries.packets.pop_front() else { break };
            entries.bytes -= oldest.seen.memory();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: usize) -> Seen {
        Seen::new(Direction::In, 0x30, body + 5, [&[0, 1, b'a'][..], &b"x".repeat(body)].concat())
    }

    #[test]
    fn rings_are_bounded_and_a_watched_device_keeps_its_own() {
        let (log, mut now) = (WireLog::new(Events::new()), Instant::now());
        let first = log.ring("d0", now).unwrap();
        for _ in 0..1000 {
            assert!(first.push(None, packet(1000), now));
        }
        assert!(first.lock().bytes <= BYTES && first.lock().packets.len() > 50);
        for number in 1..RINGS {
            assert!(log.ring(&format!("d{number}"), now).is_some());
        }
        assert!(log.ring("late", now).is_none(), "no ring is free");
        assert!(log.watch("late", now).is_empty());
        assert!(log.ring("late", now).unwrap().push(None, packet(1), now));
        assert_eq!(log.rings().len(), RINGS);
        now += SILENT + Duration::from_secs(1);
        for number in 0..3 * RINGS {
            log.ring(&format!("e{number}"), now);
            now += Duration::from_secs(1);
        }
        assert_eq!(log.rings().len(), RINGS);
        assert_eq!(log.watch("late", now).len(), 1, "a watched device keeps its ring");
        assert!(!first.push(None, packet(1), now), "a ring given away takes nothing more");
    }
}
