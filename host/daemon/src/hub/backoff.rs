//! How long to wait before trying again.
//!
//! Exponential with jitter over the whole interval: after a hub or a mobile network comes back, a fleet must not
//! return as one. Pure: randomness comes in as a value, so that the bounds can be tested and the caller decides
//! where it is taken from. It does not sleep.

use std::time::Duration;

/// A rule for growing waits: between `floor` and `base · 2ⁿ`, never above `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The least wait, whatever the dice say.
    pub floor: Duration,
    /// The upper bound of the first wait.
    pub base: Duration,
    /// The upper bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before try number `attempt` (0 is the first retry); `random` is uniform in `0.0..1.0`.
    ///
    /// A value outside that range is brought into it, so the result always lies between `floor` and `cap`
    /// (or `floor`, should that be the larger).
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let factor = 2_u32.checked_pow(attempt).unwrap_or(u32::MAX);
        let ceiling = self.base.saturating_mul(factor).min(self.cap);
        let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 };
        self.floor + ceiling.saturating_sub(self.floor).mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Backoff = Backoff {
        floor: Duration::from_millis(10),
        base: Duration::from_secs(1),
        cap: Duration::from_secs(60),
    };

    #[test]
    fn upper_bound_doubles_up_to_the_cap() {
        let bounds: Vec<u64> = (0..9).map(|attempt| RULE.delay(attempt, 1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn jitter_covers_everything_from_the_floor() {
        assert_eq!(RULE.delay(3, 0.0), RULE.floor);
        assert_eq!(RULE.delay(3, 0.5), Duration::from_millis(4005));
    }

    #[test]
    fn absurd_input_stays_within_bounds() {
        for random in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            for attempt in [0, 31, 32, u32::MAX] {
                let delay = RULE.delay(attempt, random);
                assert!(delay >= RULE.floor && delay <= RULE.cap, "{attempt} {random}: {delay:?}");
            }
        }
    }
}
