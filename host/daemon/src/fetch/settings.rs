//! How patient a fetch is. All of it can be set, so that tests of hours take milliseconds.

use std::{sync::Arc, time::Duration};

use hotshoe_core::reach::Reach;

use super::resolve::Lookup;

/// Seconds since 1970. A device whose clock was lost gives one that is not before its time floor.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Time-outs, retries and rates.
#[derive(Clone)]
pub struct FetchSettings {
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for the head of an answer, and then for each next byte.
    pub stall_timeout: Duration,
    /// Fewest bytes per second over `rate_window`; a server that is slower is hung up on.
    pub minimum_rate: u64,
    /// How long the server may be slower than that. Only time spent waiting for it counts.
    pub rate_window: Duration,
    /// Attempts after the first that may bring next to nothing. One that brought [`Self::progress_step`] new bytes
    /// starts the count anew: a long download over a bad line ends well, and never lasts for ever.
    pub retries: u32,
    /// See [`Self::retries`], in bytes.
    pub progress_step: u64,
    /// Pause before the first retry; doubles with each further one.
    pub backoff: Duration,
    /// The longest pause, also of those a server asks for with `Retry-After`.
    pub longest_backoff: Duration,
    /// Least time between two calls of the progress callback.
    pub progress_every: Duration,
    /// A number in `0.0..1.0` for the jitter of a pause.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// What servers' certificates are judged by; the system's clock where there is none.
    pub clock: Option<Clock>,
    /// Longest time for one file, pauses and retries included. What came is kept.
    pub deadline: Duration,
    /// Where names may lead.
    pub reach: Arc<Reach>,
    /// Who knows where names lead; the system where there is none.
    pub lookup: Option<Lookup>,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            minimum_rate: 512,
            rate_window: Duration::from_secs(60),
            retries: 8,
            progress_step: 1024 * 1024,
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60),
            progress_every: Duration::from_secs(1),
            random: Arc::new(rand::random),
            clock: None,
            deadline: Duration::from_secs(24 * 3600),
            reach: Arc::default(),
            lookup: None,
        }
    }
}

impl FetchSettings {
    /// The pause before retry number `retry`, counted from 0: anything up to the doubled base ("full jitter"),
    /// so that a fleet that lost its server together does not come back together. Not less than `asked`.
    pub(crate) fn pause(&self, retry: u32, asked: Option<Duration>) -> Duration {
        let base = self.backoff.saturating_mul(2u32.saturating_pow(retry.min(20))).min(self.longest_backoff);
        let jittered = base.mul_f64((self.random)().clamp(0.0, 1.0));
        asked.unwrap_or_default().min(self.longest_backoff).max(jittered)
    }
}

impl std::fmt::Debug for FetchSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchSettings").field("retries", &self.retries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        let settings =
            |random: f64| FetchSettings { random: Arc::new(move || random), ..FetchSettings::default() };
        let longest: Vec<u64> = (0..8).map(|retry| settings(1.0).pause(retry, None).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(settings(0.0).pause(5, None), Duration::ZERO);
        assert_eq!(settings(0.5).pause(u32::MAX, None), Duration::from_secs(30));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_within_bounds() {
        let settings = FetchSettings { random: Arc::new(|| 0.0), ..FetchSettings::default() };
        assert_eq!(settings.pause(0, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(settings.pause(0, Some(Duration::from_secs(86_400))), Duration::from_secs(60));
    }
}
