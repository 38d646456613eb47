//! What is durably known of a slot's content.

use hotshoe_core::{
    digest::Digest,
    image::{Runs, chunks},
};
use serde::{Deserialize, Serialize};

use super::SignedImage;

/// A slot's record. No record: nothing is known of what is in it.
///
/// An image arrives either front to back (`written` counts) or in chunks (`chunks` does, once `length` or a first chunk
/// is known). Both say what was flushed *before* the record was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotRecord {
    pub(super) digest: Digest,
    /// Bytes from the start.
    pub(super) written: u64,
    /// The version it was sealed with.
    pub(super) sealed: Option<String>,
    /// The signed target that vouched for the digest when the slot was opened for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signed: Option<SignedImage>,
    /// Bytes of the whole image, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) length: Option<u64>,
    /// The root that vouches for its chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<Digest>,
    /// Chunks that are there.
    #[serde(default, skip_serializing_if = "Runs::is_empty")]
    pub(super) chunks: Runs,
    /// Where the compressed stream goes on, if that is what was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encoded: Option<Encoded>,
}

/// A place between two frames of a compressed image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// Bytes of the image before it.
    pub image: u64,
    /// Bytes of the compressed stream before it.
    pub stream: u64,
}

impl SlotRecord {
    /// Of a slot that was opened for an image and has nothing of it yet.
    pub(super) fn opened(digest: Digest, signed: Option<SignedImage>) -> Self {
        Self {
            digest,
            written: 0,
            sealed: None,
            signed,
            length: None,
            root: None,
            chunks: Runs::new(),
            encoded: None,
        }
    }

    /// Whether anything of the image is there.
    pub(super) fn begun(&self) -> bool {
        self.written > 0 || !self.chunks.is_empty()
    }

    /// Whether it can be about a slot of this size.
    pub(super) fn fits(&self, size: u64) -> bool {
        let last = self.chunks.iter().next_back().map_or(0, |run| run.end);
        self.written <= size && last <= chunks(size) && self.length.is_none_or(|length| length <= size)
    }
}
