//! The system's resolver, when its configuration is replaced.
//!
//! The fence holds on to files and not to names. As root it lets one file of `/etc` be read and not the directory, where
//! the passwords stand as well; a network manager that replaces `resolv.conf` by a new file leaves the host without
//! names. Where the file is a link, as with systemd-resolved, its directory may be read and nothing is lost; nor does it
//! happen to a host with an identity of its own, which may read of `/etc` what everybody may.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// Where the C library reads it.
pub(super) const RESOLVER: &str = "/etc/resolv.conf";
/// How often it is looked at: a device without names is a device without its hub.
const EVERY: Duration = Duration::from_secs(10);

/// Returns when the file could be read once and no longer may be: only another start gets it back.
pub async fn lost() {
    if File::open(RESOLVER).is_err() {
        return std::future::pending().await;
    }
    until_lost(Path::new(RESOLVER), EVERY).await;
}

async fn until_lost(file: &Path, every: Duration) {
    // Missing is something else: it is being replaced, or there is none.
    while !File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        tokio::time::sleep(every).await;
    }
}
