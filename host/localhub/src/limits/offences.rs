//! Devices that were ended for what they did, and how long each waits when it comes back.
//!
//! A device that publishes where nothing listens, or subscribes to what is not its own, is ended at once; most come
//! back at once and do it again. The first [`Limits::offences`](super::Limits::offences) in a minute cost nothing, because a
//! developer tries things; then each doubles the time for which the device's next connection waits for its CONNACK, up
//! to [`LONGEST`]. Only who proved to be the device waits, or makes it wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::identity::Name;

/// The time in which offences are counted, from the first.
const WINDOW: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(200);
/// Shorter than a client waits for its CONNACK.
const LONGEST: Duration = Duration::from_secs(5);
/// How many devices are remembered before old ones are forgotten.
const REMEMBERED: usize = 4_096;

/// The book of them.
pub(crate) struct Offences {
    free: u32,
    book: Mutex<HashMap<Name, Offender>>,
}

struct Offender {
    offences: u32,
    since: Instant,
}

impl Offences {
    /// So many in a minute are free; 0 makes all of them so.
    pub(crate) fn new(free: u32) -> Self {
        Self { free, book: Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, HashMap<Name, Offender>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down one more.
    pub(crate) fn note(&self, name: &Name, now: Instant) {
        let mut book = self.book();
        if book.len() >= REMEMBERED && !book.contains_key(name) {
            book.retain(|_, offender| now.saturating_duration_since(offender.since) < WINDOW);
            if book.len() >= REMEMBERED {
                return;
            }
        }
        let offender = book.entry(name.clone()).or_insert(Offender { offences: 0, since: now });
        if now.saturating_duration_since(offender.since) >= WINDOW {
            *offender = Offender { offences: 0, since: now };
        }
        offender.offences = offender.offences.saturating_add(1);
    }

    /// How long the device's next connection is to wait.
    pub(crate) fn penalty(&self, name: &Name, now: Instant) -> Duration {
        let book = self.book();
        let recent = |offender: &&Offender| now.saturating_duration_since(offender.since) < WINDOW;
        let Some(offender) = book.get(name).filter(recent) else { return Duration::ZERO };
        match offender.offences.checked_sub(self.free) {
            Some(over @ 1..) if self.free > 0 => SHORTEST.saturating_mul(1 << (over - 1).min(8)).min(LONGEST),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_free_then_the_wait_doubles_and_after_a_minute_all_is_forgotten() {
        let (offences, now) = (Offences::new(2), Instant::now());
        let (device, other) = (Name::device("d").unwrap(), Name::device("e").unwrap());
        let waits = (0..9).map(|_| {
            offences.note(&device, now);
            offences.penalty(&device, now).as_millis()
        });
        assert_eq!(waits.collect::<Vec<_>>(), [0, 0, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(offences.penalty(&other, now), Duration::ZERO);
        let later = now + WINDOW;
        assert_eq!(offences.penalty(&device, later), Duration::ZERO);
        offences.note(&device, later);
        assert_eq!(offences.penalty(&device, later), Duration::ZERO, "counted anew");
        let lenient = Offences::new(0);
        (0..9).for_each(|_| lenient.note(&device, now));
        assert_eq!(lenient.penalty(&device, now), Duration::ZERO);
    }
}
