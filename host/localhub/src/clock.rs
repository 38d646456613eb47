//! The hub's clock, asked in this one place.
//!
//! Tokens and twin metadata speak of wall-clock time, so the hub uses the system's; intervals (keep-alive,
//! time-outs) are measured by tokio's monotonic clock instead.

use jiff::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Seconds since the Unix epoch.
pub(crate) fn now_seconds() -> u64 {
    u64::try_from(now().as_second()).unwrap_or(0)
}

/// A time in seconds since the Unix epoch, written like [`now_text`].
pub(crate) fn text_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    text(time.unwrap_or(Timestamp::MAX))
}

/// ISO 8601 in UTC with seven digits of fraction, as IoT Hub writes it in twins.
pub(crate) fn now_text() -> String {
    text(now())
}

/// The same for any time.
pub(crate) fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string()
}
