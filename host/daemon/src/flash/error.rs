//! Why a slot was not touched. The cases mirror those of `hotshoe:plugin/flash`.

use std::io;

use hotshoe_core::{
    digest::Digest,
    slot::{RecordError, Refusal},
};

use crate::{disk, state::StateError};

/// Texts are for the vendor and the operator. No retry helps unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// The slots in the configuration do not make sense.
    #[error("flash configuration: {0}")]
    Configuration(String),
    /// There is no slot of that name.
    #[error("there is no slot {0:?}; the device has {1}")]
    UnknownSlot(String, String),
    /// It is not known which slot the device runs from, so that none may be written.
    #[error("it is not known which slot the device runs from, so none is written: {0}")]
    Unknown(String),
    /// The device runs from the slot, or a trial is under way, or the staging was opened anew.
    #[error("{0}")]
    Busy(String),
    /// Another job holds the slot. A retry helps when that one has ended.
    #[error("slot {slot:?} is held by job {holder}")]
    Leased {
        /// The slot.
        slot: String,
        /// The job's id.
        holder: String,
    },
    /// The image is larger than the slot.
    #[error("the image takes {needed} bytes, the slot has {available}")]
    InsufficientSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes in the slot.
        available: u64,
    },
    /// The bytes are not those that were promised.
    #[error("the image hashes to {actual} instead of {expected}; the slot counts as empty, stage it again")]
    DigestMismatch {
        /// What was promised.
        expected: Digest,
        /// What is there.
        actual: Digest,
    },
    /// The policy `firmware.unsigned` refuses the image.
    #[error("{0}")]
    Untrusted(String),
    /// The slot holds no sealed image.
    #[error("{0}")]
    NotSealed(String),
    /// The disk or the boot loader's record failed. A retry may help.
    #[error("cannot {action}: {text}; check the disk")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        text: String,
    },
}

impl FlashError {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |error| {
            let full = if disk::is_full(&error) { " (the disk under the slot is full)" } else { "" };
            Self::Io { action, text: format!("{error}{full}") }
        }
    }
}

impl From<StateError> for FlashError {
    fn from(error: StateError) -> Self {
        Self::Io { action: "keep a slot's record".to_owned(), text: error.to_string() }
    }
}

impl From<RecordError> for FlashError {
    fn from(error: RecordError) -> Self {
        Self::Io { action: "write the boot record".to_owned(), text: error.to_string() }
    }
}

impl From<Refusal> for FlashError {
    fn from(refusal: Refusal) -> Self {
        Self::Busy(refusal.to_string())
    }
}
