//! Why the artifact store could not keep a file.

use std::io;

use hotshoe_core::digest::Digest;

use crate::state::StateError;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// No room within the store's limit or on its disk, everything unused collected.
    #[error(
        "the artifact store has no room: {needed} bytes are needed, {available} are available; \
         raise download.limit, free disk space, or end what holds other files"
    )]
    NoRoom {
        /// Bytes asked for.
        needed: u64,
        /// Bytes that could be had.
        available: u64,
    },
    /// The bytes hash to something else. They are gone.
    #[error("the bytes hash to {actual} instead of {expected}; they were thrown away")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The disk refused.
    #[error("cannot {action} in the artifact store: {source}; check the disk")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The store's own records cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ArtifactError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
