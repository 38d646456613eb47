//! Why a durable file could not be read or written.

use std::io;

/// Whose fault is it: `Name`, `Encode` and `TooLarge` are the caller's, `Io` is the disk's.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A name that is no plain file name.
    #[error(
        "state file name {0:?} is not valid: it takes 1 to 160 letters, digits, dots, dashes and underscores, \
         no dot in front, and neither \".new\" at the end nor \".corrupt-\" anywhere"
    )]
    Name(String),
    /// The value does not serialise.
    #[error("state file {name:?} cannot be written: the value does not serialise: {source}")]
    Encode {
        /// The file.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The value is over [`FILE_LIMIT`](super::FILE_LIMIT).
    #[error("state file {name:?} cannot be written: it would have {size} bytes, the limit is 16 MiB")]
    TooLarge {
        /// The file.
        name: String,
        /// What it would take.
        size: u64,
    },
    /// The disk refused. What was acknowledged before still stands.
    #[error("cannot {action} state file {name:?}: {source}; check the disk and its free space")]
    Io {
        /// The file.
        name: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}
