//! Images from the network into a slot: verified while written, resumable to the chunk, nothing staged between.
//!
//! Promise: what [`Receiver::receive`] says is there is in the slot, durable, and made of chunks that the signed root
//! vouches for where there is one; what was received before a cut is not received again. Any source may lie, stall, drip
//! or break off; another one stands in for it.
//!
//! It does not decide what is trusted, and it does not mark the slot: [`Staging::seal`] does.

mod error;
mod source;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotshoe_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use crate::{
    fetch::{FetchError, FetchSettings, Progress},
    flash::Staging,
};

pub use error::ReceiveError;
pub use source::{Body, Opened, Part, Source, SourceError};

/// What is to stand in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What the slot is staged for.
    pub digest: Digest,
    /// Its bytes, where that is known. One that is signed is never exceeded.
    pub length: Option<u64>,
    /// The BLAKE3 root that vouches for its chunks.
    pub root: Option<Digest>,
    /// Whether the hashes of its chunks stand beside it.
    pub outboard: bool,
    /// Whether it is there as zstd frames too.
    pub zstd: bool,
}

/// How an image is received.
#[derive(Clone, Debug, Default)]
pub struct ReceiveSettings {
    /// Time-outs, retries and pauses.
    pub fetch: FetchSettings,
}

/// Receives images. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Receiver {
    settings: Arc<ReceiveSettings>,
}

impl Receiver {
    /// A receiver with these settings.
    pub fn new(settings: ReceiveSettings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// Receives what is missing of an image into the slot; returns the image's length. Durable when it returns.
    ///
    /// Sources are asked in this order. Idempotent: cut off anywhere, the same call goes on where it was. The slot is not
    /// sealed by this.
    ///
    /// # Errors
    /// See [`ReceiveError`]. What was received stays.
    pub async fn receive(
        &self,
        staging: Arc<Mutex<Staging>>,
        image: &Image,
        sources: &[Arc<dyn Source>],
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<u64, ReceiveError> {
        let mut last = FetchError::Interrupted("there is no source to receive the image from".to_owned());
        for source in sources {
            let from = locked(&staging).written();
            match self.pull(&staging, image, source.as_ref(), from, progress, cancel).await {
                Ok(()) => return Ok(locked(&staging).written()),
                Err(Trouble::Source(error)) => last = error.into_fetch(),
                Err(Trouble::Own(error)) => return Err(error),
            }
        }
        Err(ReceiveError::Fetch(last))
    }

    async fn pull(
        &self,
        staging: &Arc<Mutex<Staging>>,
        image: &Image,
        source: &dyn Source,
        from: u64,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), Trouble> {
        let stall = self.settings.fetch.stall_timeout;
        let mut opened = source.open(Part::Image, from, None).await.map_err(Trouble::Source)?;
        if let (Some(expected), Some(actual)) = (image.length, opened.total)
            && expected != actual
        {
            return Err(Trouble::Source(SourceError::Refused(FetchError::Size { expected, actual })));
        }
        let total = image.length.or(opened.total);
        let mut skip = from.saturating_sub(opened.start);
        loop {
            let next = tokio::select! {
                () = cancel.cancelled() => return Err(Trouble::Own(ReceiveError::Cancelled)),
                next = tokio::time::timeout(stall, opened.body.next()) => next,
            };
            let stalls = |_| SourceError::broken(format!("{} stalls", source.name()));
            let Some(mut piece) = next.map_err(stalls).flatten().map_err(Trouble::Source)? else { break };
            let drop = skip.min(piece.len() as u64);
            skip = skip.saturating_sub(drop);
            let piece = piece.split_off(usize::try_from(drop).unwrap_or(usize::MAX));
            let staging = Arc::clone(staging);
            let written = tokio::task::spawn_blocking(move || locked(&staging).append(&piece)).await;
            let written = written.map_err(|error| Trouble::Own(ReceiveError::stopped(&error)))?;
            progress(written.map_err(|error| Trouble::Own(error.into()))?, total);
        }
        let written = locked(staging).written();
        match total {
            Some(total) if written != total => {
                Err(Trouble::Source(SourceError::broken(format!("{} ended early", source.name()))))
            }
            _ => Ok(()),
        }
    }
}

/// What may come between.
enum Trouble {
    /// This source cannot go on.
    Source(SourceError),
    /// We cannot.
    Own(ReceiveError),
}

fn locked(staging: &Mutex<Staging>) -> MutexGuard<'_, Staging> {
    staging.lock().unwrap_or_else(PoisonError::into_inner)
}
