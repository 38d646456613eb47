//! A token bucket, told by the time at which it will be full again.

use std::time::Duration;

use tokio::time::Instant;

/// So many in a period: all at once if none were before, and evenly after that.
#[derive(Debug)]
pub(crate) struct Bucket {
    number: f64,
    period: Duration,
    /// When it is full again; `None` for full.
    full_at: Option<Instant>,
}

/// What becomes of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Now,
    After(Duration),
    Refused,
}

impl Bucket {
    pub(crate) fn new(number: f64, period: Duration) -> Self {
        Self { number, period, full_at: None }
    }

    /// Takes `cost` tokens, if the debt can be waited for within `patience`.
    pub(crate) fn take(&mut self, cost: f64, now: Instant, patience: Duration) -> Passage {
        let share = Duration::try_from_secs_f64(self.period.as_secs_f64() * cost / self.number);
        let share = share.unwrap_or(Duration::MAX);
        let empty_for = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let wait = empty_for.saturating_add(share).saturating_sub(self.period);
        if wait > patience {
            return Passage::Refused;
        }
        self.full_at = Some(now + empty_for + share);
        if wait.is_zero() { Passage::Now } else { Passage::After(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_it_is_smoothed_then_refused_and_then_it_recovers() {
        let (now, patience) = (Instant::now(), Duration::from_secs(1));
        let mut bucket = Bucket::new(10.0, Duration::from_secs(1));
        let taken: Vec<Passage> = (0..25).map(|_| bucket.take(1.0, now, patience)).collect();
        assert!(taken[..10].iter().all(|passage| *passage == Passage::Now), "{taken:?}");
        assert_eq!(taken[10], Passage::After(Duration::from_millis(100)));
        assert_eq!(taken[19], Passage::After(Duration::from_secs(1)));
        assert!(taken[20..].iter().all(|passage| *passage == Passage::Refused));
        let patient = bucket.take(1.0, now, Duration::MAX);
        assert_eq!(
            patient,
            Passage::After(Duration::from_millis(1_100)),
            "who waits for ever is not refused"
        );
        let later = now + Duration::from_secs(3);
        assert_eq!(bucket.take(10.0, later, patience), Passage::Now);
        assert_eq!(bucket.take(1e300, later, patience), Passage::Refused);
    }
}
