//! Facts about the device, and what its operator set for this plugin.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::host;

pub use crate::bindings::hotshoe::plugin::device::DeviceFacts;

/// Facts about the device and the host that do not change while the host runs.
pub fn facts() -> DeviceFacts {
    host::device::facts()
}

/// How long the device has been up.
pub fn uptime() -> Duration {
    Duration::from_nanos(host::device::uptime())
}

/// Whether the clock can be believed.
pub fn clock_is_set() -> bool {
    host::device::clock_is_set()
}

/// The time in UTC to the second, as RFC 3339 writes it: `2026-11-22T12:00:00Z`.
pub fn timestamp() -> String {
    host::device::timestamp()
}

/// What the operator set for this plugin in the device's configuration. The error says what does not fit.
pub fn settings<T: DeserializeOwned>() -> Result<T, String> {
    serde_json::from_str(&host::device::settings()).map_err(|error| error.to_string())
}
