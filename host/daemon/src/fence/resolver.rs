//! The system's resolver, when its configuration is replaced.
//!
//! The fence holds on to files and not to names. As root it lets one file of `/etc` be read and not the directory, where
//! the passwords stand as well; a network manager that replaces `resolv.conf` by a new file leaves the host without
//! names. Where the file is a link, as with systemd-resolved, its directory may be read and nothing is lost; nor does it
//! happen to a host with an identity of its own, which may read of `/etc` what everybody may.
//!
//! The same befalls any host that begins before there is the file, or what the link leads to: a device that boots without
//! a network.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Where the C library reads it.
pub(super) const RESOLVER: &str = "/etc/resolv.conf";
/// How often it is looked at: a device without names is a device without its hub.
const EVERY: Duration = Duration::from_secs(10);

/// Returns when the file may not be read that could be read once, or was not there: only another start gets it back.
pub async fn lost() {
    until_lost(|| File::open(RESOLVER).map(drop), EVERY).await;
}

async fn until_lost(read: impl Fn() -> io::Result<()>, every: Duration) {
    // Missing is something else: it is being replaced, or there is none yet.
    let is_denied = || read().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if is_denied() {
        // It never could be, and another start would change nothing.
        return std::future::pending().await;
    }
    while !is_denied() {
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;

    use super::*;

    /// Whether it is told as lost where the file reads like this, one word after the other.
    fn is_lost(reads: &[Result<(), ErrorKind>]) -> bool {
        let reads = RefCell::new(reads.iter());
        let read = || reads.borrow_mut().next().copied().unwrap_or(Ok(())).map_err(io::Error::from);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let lost = until_lost(&read, Duration::ZERO);
            let read_through = async {
                while reads.borrow().len() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let mut lost = std::pin::pin!(lost.fuse());
            tokio::select! {
                () = &mut lost => return true,
                () = read_through => {}
            }
            lost.now_or_never().is_some()
        })
    }

    #[test]
    fn a_file_that_comes_later_and_may_not_be_read_is_lost_too() {
        let (missing, denied) = (Err(ErrorKind::NotFound), Err(ErrorKind::PermissionDenied));
        assert!(is_lost(&[Ok(()), missing, denied]), "it was replaced");
        assert!(is_lost(&[missing, missing, denied]), "it came after the start");
        assert!(!is_lost(&[missing, Ok(()), Ok(())]), "it came, and is read");
        assert!(!is_lost(&[Ok(()), missing]), "it is gone");
    }

    #[test]
    fn what_never_could_be_read_is_not_waited_for() {
        let denied = until_lost(|| Err(ErrorKind::PermissionDenied.into()), Duration::ZERO);
        assert!(denied.now_or_never().is_none());
    }
}
