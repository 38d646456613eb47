//! How often a plugin may ask for what costs the device something, over all of its calls and versions.
//!
//! | What | At once | Then |
//! |---|---|---|
//! | writes to the disk: storage, checkpoints | 256 | 10 a second; a write counts once, and once more for each 4 KiB |
//! | patches of the reported properties | 100 | 5 a second |
//! | device-to-cloud messages | 100 | 10 a second, and a quarter of the queue |
//! | calls that wait for a disk | 6 | – |
//!
//! Flash wears and links cost money, so these are rates that nothing honest comes near. Where the contract has no case
//! for it, whoever is too fast waits in the host: no plugin need know of it, an honest one that once does much is slowed
//! and not failed, and a loop is. One that would wait for longer than [`PATIENCE`] is refused, which only many calls at
//! once come to.
//!
//! In memory alone: a restart forgives, and restarting is a right of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest that a call waits for its allowance.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many calls of a plugin may wait for a disk at a time. One that is stuck there keeps its place until it comes free,
/// also where its call is long over: a thread of the host's is in it.
const DISK: usize = 6;
/// How many messages of a plugin may wait for the link.
const MESSAGES: usize = 64;

/// What a plugin is told that was too fast for too long.
pub(super) const TOO_OFTEN: &str =
    "the plugin writes more often than a device's flash should be written to; try again later";

/// What a write of so many bytes takes of the allowance.
pub(super) fn cost(bytes: usize) -> f64 {
    1.0 + f64::from(u32::try_from(bytes / 4096).unwrap_or(u32::MAX))
}

/// What a plugin may still take.
pub(crate) struct Allowance {
    pub(super) writes: Bucket,
    pub(super) reports: Bucket,
    pub(super) messages: Bucket,
    /// Held by whichever call reports.
    pub(super) reporting: tokio::sync::Mutex<()>,
    /// Held by whichever call reads or writes the plugin's store.
    pub(super) storage: Mutex<()>,
    disk: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// A rate, of which a number may come at once.
pub(super) struct Bucket {
    most: f64,
    /// Per second.
    rate: f64,
    level: Mutex<Level>,
}

struct Level {
    /// What is left; below nothing where somebody waits.
    left: f64,
    filled: Instant,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            writes: Bucket::new(256.0, 10.0),
            reports: Bucket::new(100.0, 5.0),
            messages: Bucket::new(100.0, 10.0),
            reporting: tokio::sync::Mutex::default(),
            storage: Mutex::default(),
            disk: Arc::new(Semaphore::new(DISK)),
            queue: Arc::new(Semaphore::new(MESSAGES)),
        }
    }
}

impl Allowance {
    /// Whether nothing of it is taken.
    pub(crate) fn is_whole(&self) -> bool {
        let now = Instant::now();
        [&self.writes, &self.reports, &self.messages].into_iter().all(|bucket| bucket.is_full(now))
            && self.disk.available_permits() == DISK
            && self.queue.available_permits() == MESSAGES
    }

    /// A place among those that wait for a disk; `None` where none comes free in time.
    pub(super) async fn disk(&self) -> Option<OwnedSemaphorePermit> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.disk).acquire_owned()).await;
        place.ok().and_then(Result::ok)
    }

    /// A place among the messages that wait for the link, and how many there are for this plugin.
    pub(super) fn message(&self) -> Result<OwnedSemaphorePermit, usize> {
        if !self.messages.try_take(Instant::now()) {
            return Err(MESSAGES);
        }
        Arc::clone(&self.queue).try_acquire_owned().map_err(|_| MESSAGES)
    }
}

impl Bucket {
    fn new(most: f64, rate: f64) -> Bucket {
        Bucket { most, rate, level: Mutex::new(Level { left: most, filled: Instant::now() }) }
    }

    /// Takes so much as soon as it is there; `false`, with nothing taken, where that would be too long.
    pub(super) async fn take(&self, amount: f64) -> bool {
        match self.reserve(amount, Instant::now()) {
            Some(wait) if wait.is_zero() => true,
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Takes one if it is there.
    pub(super) fn try_take(&self, now: Instant) -> bool {
        let mut level = self.filled(now);
        let is_there = level.left >= 1.0;
        if is_there {
            level.left -= 1.0;
        }
        is_there
    }

    /// Takes so much, and says how long until it is there.
    fn reserve(&self, amount: f64, now: Instant) -> Option<Duration> {
        // More than ever fits is the whole of it.
        let amount = amount.min(self.most);
        let mut level = self.filled(now);
        let wait = Duration::from_secs_f64(((amount - level.left) / self.rate).max(0.0));
        if wait > PATIENCE {
            return None;
        }
        level.left -= amount;
        Some(wait)
    }

    fn is_full(&self, now: Instant) -> bool {
        self.filled(now).left >= self.most
    }

    fn filled(&self, now: Instant) -> std::sync::MutexGuard<'_, Level> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(level.filled).as_secs_f64();
        level.left = (level.left + passed * self.rate).min(self.most);
        level.filled = now;
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_at_once_what_it_has_and_then_at_its_rate() {
        let bucket = Bucket::new(10.0, 2.0);
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(bucket.reserve(1.0, now), Some(Duration::ZERO));
        }
        assert_eq!(bucket.reserve(1.0, now), Some(Duration::from_millis(500)));
        assert_eq!(bucket.reserve(1.0, now), Some(Duration::from_secs(1)), "in the order of coming");
        assert!(!bucket.try_take(now));
        let later = now + Duration::from_secs(2);
        assert!(bucket.try_take(later) && bucket.try_take(later) && !bucket.try_take(later));
        assert!(!bucket.is_full(later));
        assert!(bucket.is_full(later + Duration::from_secs(5)));
    }

    #[test]
    fn nobody_waits_longer_than_there_is_patience() {
        let bucket = Bucket::new(5.0, 1.0);
        let now = Instant::now();
        assert_eq!(bucket.reserve(1e9, now), Some(Duration::ZERO), "more than ever fits is all of it");
        let waits: Vec<_> = std::iter::from_fn(|| bucket.reserve(1.0, now)).collect();
        assert_eq!(waits.len(), 10);
        assert_eq!(bucket.reserve(1.0, now), None);
        assert_eq!(
            bucket.reserve(1.0, now + Duration::from_secs(1)),
            Some(PATIENCE),
            "what was refused took nothing"
        );
    }
}
