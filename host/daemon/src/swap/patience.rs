//! Another look where the machine, and not the plugin, has refused.
//!
//! At the start of the host one failing read, or a moment without memory, would else cost a plugin until the next start, or
//! put the version before it in its place.

use std::io;
use std::time::Duration;

use super::error::InstallError;
use crate::plugin::LoadError;

/// How often it is tried in all.
const ATTEMPTS: u32 = 4;
/// The first pause; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a version could not be had at the start.
#[derive(Debug)]
pub(super) struct Failed {
    text: String,
    /// Whether the same may go well a moment later.
    may_pass: bool,
}

impl Failed {
    /// A file could not be read.
    pub(super) fn unread(error: &io::Error) -> Failed {
        let may_pass = !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
        Failed { text: format!("the file cannot be read: {error}"), may_pass }
    }
}

impl From<InstallError> for Failed {
    fn from(error: InstallError) -> Failed {
        Failed { text: error.to_string(), may_pass: matches!(error, InstallError::Disk(_)) }
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Failed {
        Failed { may_pass: error.may_pass(), ..Failed::from(InstallError::from(error)) }
    }
}

/// Does it, and again while its failure may pass: at most four times, within two seconds of pauses.
pub(super) async fn patiently<T>(attempt: impl AsyncFn() -> Result<T, Failed>) -> Result<T, String> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(Failed { text, may_pass: true }) => {
                tracing::warn!(reason = text, "a plugin cannot be had at the moment; tried again");
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            other => return other.map_err(|failed| failed.text),
        }
    }
    attempt().await.map_err(|failed| failed.text)
}
