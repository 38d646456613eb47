//! Where an image can be had from: a server, a directory, or whatever a test makes up.
//!
//! A source gives bytes from a place on and promises nothing about them: what is wrong with them is found out by who
//! asked. So one may be slow, partial, of another version or hostile, and the next one stands in for it.

mod folder;
mod http;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::fetch::FetchError;

pub use folder::FolderSource;
pub use http::{HttpSource, Web};

/// One place where an image can be had.
pub trait Source: Send + Sync {
    /// What it is called in logs and errors: no secrets.
    fn name(&self) -> String;

    /// Asks for the bytes of a part from offset `from` to `to` (exclusive; without it to the end). One request.
    ///
    /// # Errors
    /// See [`SourceError`].
    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>>;
}

/// What there may be of an image at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The image as it is to stand in the slot.
    Image,
    /// The hashes of its chunks: a Bao outboard of 64 KiB groups in pre-order, `<target>.obao`.
    Outboard,
    /// The image as zstd frames of 1 MiB each, `<target>.zst`.
    Zstd,
}

/// An answer under way.
pub struct Opened {
    /// Its bytes.
    pub body: Box<dyn Body>,
    /// Where the bytes begin: where they were asked from, or 0 where a source can only give all.
    pub start: u64,
    /// How long the whole part is, if the source says so.
    pub total: Option<u64>,
}

/// The bytes of an answer.
pub trait Body: Send {
    /// The next bytes; none at the end. What came before an error is good as far as it goes.
    ///
    /// # Errors
    /// See [`SourceError`].
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>>;
}

/// Why a source gives no bytes, or no more.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It does not have this part. Others may.
    #[error("{0}")]
    Missing(FetchError),
    /// It will not give it: forbidden, or not to be trusted. Others may.
    #[error("{0}")]
    Refused(FetchError),
    /// Not now, or not all; a later try may help.
    #[error("{error}")]
    Broken {
        /// Why.
        error: FetchError,
        /// How long the source wants to be left alone.
        after: Option<Duration>,
    },
}

impl SourceError {
    /// Broke off for this reason.
    pub fn broken(text: impl Into<String>) -> Self {
        Self::Broken { error: FetchError::Interrupted(text.into()), after: None }
    }

    /// What to tell if no other source helps.
    pub fn into_fetch(self) -> FetchError {
        match self {
            Self::Missing(error) | Self::Refused(error) | Self::Broken { error, .. } => error,
        }
    }
}
