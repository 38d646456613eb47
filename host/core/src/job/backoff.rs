//! How long to wait before a job runs again.
//!
//! Exponential with *equal jitter*: half of the pause is sure, the other half random, so that a fleet that failed
//! together does not come back together, and still nobody hammers. The randomness comes in as a number, so the
//! same input gives the same pause.

use std::time::Duration;

/// The shape of a growing pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The longest first pause.
    pub first: Duration,
    /// The longest pause ever.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(600) }
    }
}

impl Backoff {
    /// The pause after the `attempt`th failure in a row (1 and up): between half of and the whole of
    /// `first * 2^(attempt - 1)`, and never over `cap`.
    pub fn pause(&self, attempt: u32, random: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(32);
        let whole = milliseconds(self.first).saturating_mul(1 << doublings).min(milliseconds(self.cap));
        let sure = whole / 2;
        let jitter = random.checked_rem(whole - sure + 1).unwrap_or_default();
        Duration::from_millis(sure + jitter)
    }
}

/// A duration in whole milliseconds; what does not fit is as good as for ever.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_cap_and_keeps_its_half() {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(600) };
        for (attempt, whole) in
            [(0, 1), (1, 1), (2, 2), (3, 4), (10, 512), (11, 600), (40, 600), (u32::MAX, 600)]
        {
            let whole = Duration::from_secs(whole);
            for random in [0, 1, 499, 500, 501, u64::MAX] {
                let pause = backoff.pause(attempt, random);
                assert!(pause >= whole / 2 && pause <= whole, "{attempt} {random}: {pause:?}");
            }
        }
    }

    #[test]
    fn the_jitter_reaches_both_ends() {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(1) };
        assert_eq!(backoff.pause(1, 0), Duration::from_millis(500));
        assert_eq!(backoff.pause(1, 500), Duration::from_millis(1000));
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let backoff = Backoff { first: Duration::MAX, cap: Duration::MAX };
        assert!(backoff.pause(u32::MAX, u64::MAX) > Duration::from_secs(1));
        let none = Backoff { first: Duration::ZERO, cap: Duration::ZERO };
        assert_eq!(none.pause(3, 7), Duration::ZERO);
    }
}
