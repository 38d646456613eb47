//! Why a file could not be fetched. The cases mirror those of `hotshoe:plugin/download`.

use hotshoe_core::digest::Digest;
use url::Url;

use crate::{artifact::ArtifactError, disk, state::StateError};

/// Texts are for the vendor and the operator; they name the URL without its query, which may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The grant forbids the URL, or a redirect led outside. No retry helps.
    #[error("{0}")]
    Denied(String),
    /// The URL is not one that is fetched. No retry helps.
    #[error("{0}")]
    InvalidUrl(String),
    /// The policy `firmware.unsigned` refuses the image. No retry helps.
    #[error("{0}")]
    Untrusted(String),
    /// The server's last answer. A retry helps for 408, 429 and 5xx only; the host has retried those already.
    #[error("{url} was answered with status {status}")]
    Status {
        /// Where, without the query.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The connection failed, broke off or was too slow, and the retries were too. A retry resumes.
    #[error("{0}")]
    Interrupted(String),
    /// The device's policy lets no more bytes through for now. What came is kept. A retry helps once there is room.
    #[error("{0}")]
    Capped(String),
    /// The server says or sends another size than was asked for. No retry helps.
    #[error("the size is {actual} bytes, {expected} were asked for")]
    Size {
        /// Bytes asked for.
        expected: u64,
        /// Bytes the server says it has, or has sent at least.
        actual: u64,
    },
    /// The bytes are not those asked for; they were thrown away. A retry fetches all again.
    #[error("the bytes hash to {actual} instead of {expected}; they were thrown away")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The artifact store has no room. A retry helps once there is.
    #[error("no room for the file: {needed} bytes are needed, {available} are available")]
    InsufficientSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
    /// The disk failed, or the host itself. A retry may help.
    #[error("{0}")]
    Io(String),
}

impl From<ArtifactError> for FetchError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::NoRoom { needed, available } => Self::InsufficientSpace { needed, available },
            ArtifactError::Digest { expected, actual } => Self::Digest { expected, actual },
            // A journal or record that did not fit: a few hundred bytes, and there are none.
            ArtifactError::Io { source, .. } | ArtifactError::State(StateError::Io { source, .. })
                if disk::is_full(&source) =>
            {
                Self::InsufficientSpace { needed: 4096, available: 0 }
            }
            other => Self::Io(other.to_string()),
        }
    }
}

/// The deadline for a file has passed.
pub(crate) fn too_late(what: &str, deadline: std::time::Duration) -> FetchError {
    FetchError::Interrupted(format!(
        "{what} took longer than the {} s of [download] deadline in device.toml; what came is kept, and another attempt \
         goes on from there",
        deadline.as_secs()
    ))
}

/// A URL for people: without user, query and fragment, which may hold secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}
