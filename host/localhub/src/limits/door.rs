//! A port's doorkeeper: who may come in, who must wait outside, and who has to make room.
//!
//! A connection is a [`Visit`] for as long as it is open. It is *pending* until its client proved who it is; when
//! too many are, the oldest of them is told to go, so that connections which say nothing cannot keep out those
//! that have something to say. Proved visits are never evicted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Limits;

/// The window in which failed logins are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// The log gets one line about refused connections in this time.
const QUIET: Duration = Duration::from_secs(1);
/// How long a refusal takes once an address failed half as often as [`Limits::failed_logins`] says.
const SLOWLY: Duration = Duration::from_secs(1);
/// How many addresses without a connection are remembered for their failed logins before old ones are forgotten.
const REMEMBERED: usize = 4_096;

/// The doorkeeper of one port.
pub(crate) struct Door {
    name: &'static str,
    limits: Arc<Limits>,
    room: Arc<Semaphore>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    last: u64,
    pending: BTreeMap<u64, Arc<Notify>>,
    addresses: HashMap<IpAddr, Address>,
    complained: Option<Instant>,
    unsaid: u64,
}

struct Address {
    open: usize,
    failed: u32,
    since: Instant,
}

impl Door {
    /// The doorkeeper of a port with room for so many connections.
    pub(crate) fn new(name: &'static str, room: usize, limits: Arc<Limits>) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { name, limits, room, book: Mutex::default() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection that is let in; `None` once `stop` is cancelled.
    pub(crate) async fn next(
        self: &Arc<Self>,
        listener: &TcpListener,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, Arc<Visit>)> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return None,
            };
            match accepted {
                Ok((stream, address)) => match self.admit(address, Instant::now()) {
                    Ok(visit) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%address, %error, "cannot set TCP_NODELAY");
                        }
                        return Some((stream, visit));
                    }
                    Err(reason) => self.complain(&address.to_string(), reason),
                },
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to come back rather than spin.
                    self.complain(&error.to_string(), "a connection cannot be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Lets in a connection that came by no port.
    pub(crate) fn admit(
        self: &Arc<Self>,
        peer: SocketAddr,
        now: Instant,
    ) -> Result<Arc<Visit>, &'static str> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| "the port is full")?;
        let mut book = self.book();
        if book.addresses.len() > REMEMBERED {
            book.addresses.retain(|_, address| address.open > 0 || now - address.since < WINDOW);
        }
        let fresh = || Address { open: 0, failed: 0, since: now };
        let address = book.addresses.entry(peer.ip()).or_insert_with(fresh);
        if now - address.since >= WINDOW {
            (address.failed, address.since) = (0, now);
        }
        if self.limits.failed_logins > 0 && address.failed >= self.limits.failed_logins {
            return Err("too many failed logins from this address in the last minute");
        }
        if self.limits.connections_per_address.is_some_and(|most| address.open >= most) {
            return Err("too many connections from this address");
        }
        address.open += 1;
        book.last += 1;
        let (number, overdue) = (book.last, Arc::new(Notify::new()));
        book.pending.insert(number, Arc::clone(&overdue));
        if book.pending.len() > self.limits.pending
            && let Some((_, oldest)) = book.pending.pop_first()
        {
            oldest.notify_one();
        }
        drop(book);
        let (door, [proved, called_in]) = (Arc::clone(self), [const { AtomicBool::new(false) }; 2]);
        Ok(Arc::new(Visit { door, peer, number, overdue, proved, called_in, _room: room }))
    }

    fn complain(&self, about: &str, reason: &str) {
        let now = Instant::now();
        let mut book = self.book();
        if book.complained.is_some_and(|last| now - last < QUIET) {
            book.unsaid += 1;
            return;
        }
        book.complained = Some(now);
        let unsaid = std::mem::take(&mut book.unsaid);
        drop(book);
        tracing::warn!(port = self.name, about, unsaid, "refused: {reason}");
    }
}

/// A connection that was let in.
pub(crate) struct Visit {
    door: Arc<Door>,
    peer: SocketAddr,
    number: u64,
    overdue: Arc<Notify>,
    proved: AtomicBool,
    called_in: AtomicBool,
    _room: OwnedSemaphorePermit,
}

impl Visit {
    /// Where it comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client has shown who it is and is no longer asked to make room.
    pub(crate) fn prove(&self) {
        if !self.proved.swap(true, Ordering::Relaxed) {
            self.door.book().pending.remove(&self.number);
        }
    }

    /// The client failed to show who it is. Gives how long it is to wait until it hears so.
    pub(crate) fn fail(&self) -> Duration {
        let mut book = self.door.book();
        let Some(address) = book.addresses.get_mut(&self.peer.ip()) else { return Duration::ZERO };
        address.failed = address.failed.saturating_add(1);
        let most = self.door.limits.failed_logins;
        if most > 0 && address.failed > most / 2 { SLOWLY } else { Duration::ZERO }
    }

    /// The same for a handshake, where it was wrong and not merely broken off.
    pub(crate) fn fail_at_tls(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData {
            self.fail();
        }
    }

    /// The same as [`Visit::fail`], and waits; less long if the visit has to make room.
    pub(crate) async fn fail_slowly(&self) {
        let wait = self.fail();
        if !wait.is_zero() {
            drop(timeout(wait, self.overdue()).await);
        }
    }

    /// From now on the client is served by the hub's own threads, and so is its socket.
    pub(crate) fn call_in(&self) {
        self.called_in.store(true, Ordering::Relaxed);
    }

    /// True from [`Visit::call_in`] on.
    pub(crate) fn is_called_in(&self) -> bool {
        self.called_in.load(Ordering::Relaxed)
    }

    /// Returns when the visit has to make room for another.
    pub(crate) async fn overdue(&self) {
        self.overdue.notified().await;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut book = self.door.book();
        book.pending.remove(&self.number);
        if let Some(address) = book.addresses.get_mut(&self.peer.ip()) {
            address.open -= 1;
            if address.open == 0 && address.failed == 0 {
                book.addresses.remove(&self.peer.ip());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(door: &Arc<Door>, last: u8) -> Result<Arc<Visit>, &'static str> {
        door.admit(from(last), Instant::now())
    }

    fn door(limits: Limits) -> Arc<Door> {
        Door::new("test", limits.connections, Arc::new(limits))
    }

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 1))
    }

    #[tokio::test]
    async fn the_oldest_that_proved_nothing_makes_room() {
        let door = door(Limits { pending: 2, ..Limits::default() });
        let [first, second, third] = [1, 2, 3].map(|last| {
            let visit = admit(&door, last).unwrap();
            if last == 1 {
                visit.prove();
            }
            visit
        });
        let _fourth = admit(&door, 4).unwrap();
        tokio::select! {
            biased;
            () = first.overdue() => panic!("a proved one was evicted"),
            () = third.overdue() => panic!("the younger one was evicted"),
            () = second.overdue() => {}
        }
    }

    #[tokio::test]
    async fn rooms_addresses_and_failures_are_counted_and_given_back() {
        let door = door(Limits {
            connections: 3,
            connections_per_address: Some(2),
            failed_logins: 2,
            ..Limits::default()
        });
        let held = [admit(&door, 1).unwrap(), admit(&door, 1).unwrap()];
        assert_eq!(admit(&door, 1).err(), Some("too many connections from this address"));
        let other = admit(&door, 2).unwrap();
        assert_eq!(admit(&door, 3).err(), Some("the port is full"));
        drop(held);
        assert_eq!(other.fail(), Duration::ZERO);
        assert_eq!(other.fail(), SLOWLY, "more than half of what may fail");
        drop(other);
        assert!(admit(&door, 2).err().unwrap().starts_with("too many failed logins"));
        assert!(admit(&door, 1).is_ok());
        assert_eq!(door.book().addresses.len(), 1, "only what is worth remembering");
        assert!(door.admit(from(2), Instant::now() + WINDOW).is_ok());
    }
}
