//! The hub's time, by the `Date` of its answers.
//!
//! An operator's clock may be wrong by hours, and a rollout goes on from another machine with another clock. What was
//! written down at the hub, and what the hub has set itself, is compared with the hub's time only. A `Date` counts
//! seconds, so this one is up to a second behind, and the way of the answer.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::header::{DATE, HeaderMap};

/// By how many milliseconds the hub's clock is ahead of this machine's.
#[derive(Default)]
pub(super) struct HubTime(AtomicI64);

impl HubTime {
    /// Reads an answer that came at this time of this machine's. One without a date changes nothing.
    pub(super) fn heard(&self, headers: &HeaderMap, now: Timestamp) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()) {
            self.0.store(date.as_millisecond().saturating_sub(now.as_millisecond()), Ordering::Relaxed);
        }
    }

    /// The hub's time at this time of this machine's.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.0.load(Ordering::Relaxed));
        now.checked_add(ahead).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_is_wrong_is_put_right_by_every_answer() {
        let (time, mut headers) = (HubTime::default(), HeaderMap::new());
        let now = at("2026-11-24T03:00:00Z");
        time.heard(&headers, now);
        assert_eq!(time.at(now), now, "nobody has said otherwise");
        for (date, hub) in [
            ("Tue, 24 Nov 2026 02:45:10 GMT", "2026-11-24T02:45:10Z"),
            ("Sun, 20 Dec 2026 00:00:00 GMT", "2026-12-20T00:00:00Z"),
        ] {
            headers.insert(DATE, date.parse().unwrap());
            time.heard(&headers, now);
            assert_eq!(time.at(now), at(hub));
            assert_eq!(time.at(now + SignedDuration::from_secs(5)), at(hub) + SignedDuration::from_secs(5));
        }
        headers.insert(DATE, "yesterday".parse().unwrap());
        time.heard(&headers, now);
        assert_eq!(time.at(now), at("2026-12-20T00:00:00Z"));
    }
}
