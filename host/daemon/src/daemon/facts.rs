//! What the device says of itself, looked up once.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::capability::DeviceFacts;

/// A day after which every clock stands that was ever set: the host did not exist before.
pub(super) const BUILT: u64 = 1_795_305_600;

/// The wall clock.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock in milliseconds since the Unix epoch.
pub(super) fn now_milliseconds() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

/// Looks at the machine.
pub(super) fn of_device(device_id: String) -> DeviceFacts {
    let kernel = rustix::system::uname();
    DeviceFacts {
        device_id,
        host_version: env!("CARGO_PKG_VERSION").to_owned(),
        os: operating_system(Path::new("/etc/os-release")).unwrap_or_else(|| "unknown".to_owned()),
        kernel: kernel.release().to_string_lossy().into_owned(),
        architecture: kernel.machine().to_string_lossy().into_owned(),
        memory: memory(),
        built: BUILT,
        clock: std::sync::Arc::new(now),
        uptime: std::sync::Arc::new(uptime),
    }
}

fn uptime() -> Duration {
    let seconds = rustix::system::sysinfo().uptime;
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

#[allow(clippy::useless_conversion)] // The fields are narrower on 32-bit machines.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

fn operating_system(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').chars().take(128).collect())
}
