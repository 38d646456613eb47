//! Another look where the machine, and not the plugin, has refused.
//!
//! One failing read, or a moment without memory, would else cost a plugin until the next start, put the version before it
//! in its place, or leave none to go back to.

use std::io;
use std::time::Duration;

use super::error::InstallError;
use crate::plugin::LoadError;

/// How often it is tried in all.
const ATTEMPTS: u32 = 4;
/// The first pause; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a version could not be had.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: InstallError,
    /// Whether the same may go well a moment later.
    may_pass: bool,
    /// Whether it says nothing of the version: nothing can be compiled any more before the host is started anew.
    pub(super) is_of_the_compiler: bool,
}

impl From<InstallError> for Failed {
    fn from(error: InstallError) -> Failed {
        let may_pass = match &error {
            InstallError::Disk(_) => true,
            InstallError::Unread(error) => {
                !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            _ => false,
        };
        Failed { error, may_pass, is_of_the_compiler: false }
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Failed {
        let (may_pass, is_of_the_compiler) = (error.may_pass(), error.is_of_the_compiler());
        Failed { error: error.into(), may_pass, is_of_the_compiler }
    }
}

/// Does it, and again while its failure may pass: at most four times, within two seconds of pauses.
pub(super) async fn patiently<T, A>(attempt: impl Fn() -> A) -> Result<T, Failed>
where
    A: Future<Output = Result<T, Failed>>,
{
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(Failed { error, may_pass: true, .. }) => {
                tracing::warn!(%error, "a plugin cannot be had at the moment; tried again");
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            other => return other,
        }
    }
    attempt().await
}
