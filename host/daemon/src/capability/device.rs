//! `device`: facts about the device and the host, the time, and what the operator configured.
//!
//! Nothing is looked up here: the facts and the clocks come in with the services, so that a test sets them and no
//! plugin gets a finer clock than it needs.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::bindings::hotshoe::plugin::device;
use super::wasi::{coarse, nanoseconds};

/// The time since the Unix epoch.
pub type WallClock = Arc<dyn Fn() -> Duration + Send + Sync>;
/// The time since the device was started.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the device says of itself.
#[derive(Clone)]
pub struct DeviceFacts {
    /// The device's id at the hub.
    pub device_id: String,
    /// The host's version.
    pub host_version: String,
    /// Name and version of the operating system.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor architecture, as the kernel names it.
    pub architecture: String,
    /// The memory in bytes.
    pub memory: u64,
    /// A moment that the clock must have passed to be believed, in seconds since the Unix epoch.
    pub built: u64,
    /// What time it is.
    pub clock: WallClock,
    /// How long the device has been up.
    pub uptime: Uptime,
}

impl device::Host for Context {
    async fn facts(&mut self) -> wasmtime::Result<device::DeviceFacts> {
        self.entered("device.facts");
        let facts = &self.services.facts;
        Ok(device::DeviceFacts {
            device_id: facts.device_id.clone(),
            host_version: facts.host_version.clone(),
            os: facts.os.clone(),
            kernel: facts.kernel.clone(),
            architecture: facts.architecture.clone(),
            memory: facts.memory,
        })
    }

    async fn uptime(&mut self) -> wasmtime::Result<u64> {
        self.entered("device.uptime");
        Ok(nanoseconds(coarse((self.services.facts.uptime)())))
    }

    async fn clock_is_set(&mut self) -> wasmtime::Result<bool> {
        self.entered("device.clock-is-set");
        let facts = &self.services.facts;
        Ok((facts.clock)().as_secs() >= facts.built)
    }

    async fn timestamp(&mut self) -> wasmtime::Result<String> {
        self.entered("device.timestamp");
        Ok(rfc3339((self.services.facts.clock)()))
    }

    async fn settings(&mut self) -> wasmtime::Result<String> {
        self.entered("device.settings");
        Ok(self.tenant.settings.to_string())
    }
}

/// The time in UTC to the second; the epoch for a clock beyond the year 9999.
fn rfc3339(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_utc_to_the_second() {
        assert_eq!(rfc3339(Duration::new(1_795_348_800, 999_999_999)), "2026-11-22T12:00:00Z");
        assert_eq!(rfc3339(Duration::MAX), "1970-01-01T00:00:00Z");
    }
}
