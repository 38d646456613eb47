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

/// ISO 8601 in UTC with seven digits of fraction, as IoT Hub writes it in twins.
pub(crate) fn now_text() -> String {
    now().strftime("%Y-%m-%dT%H:%M:%S.%7fZ").to_string()
}
