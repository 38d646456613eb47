//! Why an image is not in the slot.

use tokio::task::JoinError;

use crate::{fetch::FetchError, flash::FlashError};

/// Whose fault it is: the sources', the slot's, or nobody's.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// No source gave what is missing. The error is the last one's; what was received stays.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The slot cannot be written, or is too small.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// Somebody asked for it to end. What was received stays.
    #[error("the update was cancelled while its image was received; what was received is kept")]
    Cancelled,
}

impl ReceiveError {
    pub(super) fn stopped(error: &JoinError) -> Self {
        Self::Fetch(FetchError::Io(format!("the host is shutting down: {error}")))
    }
}
