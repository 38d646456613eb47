//! Images from the network into a slot: verified while written, resumable to the chunk, nothing staged between.
//!
//! Promise: what [`Receiver::receive`] says is there is in the slot, durable, and made of chunks that the signed root
//! vouches for where there is one; a chunk that it does not vouch for never reaches the slot. What was received before a
//! cut is not received again. Any source may lie, stall, drip or break off: another one stands in, or the same one is
//! asked again for what is missing and nothing else. Memory and what is under way are bounded.
//!
//! Where an image has no root, or nobody has its hashes, it comes front to back and the seal compares it as a whole.
//!
//! The way of a byte: from the socket into a buffer that the disk can read ([`pull`]), verified and written on a second
//! thread ([`sink`]), synced, recorded and read back on a third ([`keeper`]).
//!
//! It does not decide what is trusted, and it does not mark the slot: [`Staging::seal`] does.

mod compressed;
mod error;
mod keeper;
mod local;
mod outboard;
mod pipeline;
mod plan;
mod pull;
mod session;
mod settings;
mod sink;
mod source;
pub mod zstd;

use std::sync::{Arc, Mutex};

use hotshoe_core::{digest::Digest, image::Tree};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    disk::blocking,
    fetch::{Progress, error::too_late},
    flash::{FlashError, Staging},
};
use session::{About, Session, Trouble};
use sink::locked;

pub use error::ReceiveError;
pub use settings::ReceiveSettings;
pub use source::{Body, FolderSource, HttpSource, Opened, Part, Source, SourceError, Web};

/// How often what the medium lost is received again.
const ROUNDS: u32 = 3;

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
    /// Sources are asked in this order. Idempotent: cut off anywhere, the same call goes on where it was. An image that
    /// does not fit is refused before a byte is fetched. The slot is not sealed by this.
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
        let about = About {
            settings: &self.settings,
            image,
            staging: &staging,
            tree: None,
            sources,
            progress,
            cancel,
        };
        let begin = {
            let (length, root) = (image.length, image.root.clone());
            move |staging: &Mutex<Staging>| locked(staging).begin(length, root.as_ref())
        };
        self.on_disk(&staging, begin).await?;
        let tree = self.tree(about).await?;
        let about = About { tree: tree.as_ref(), ..about };
        if let Some(tree) = &tree {
            self.look_around(&staging, tree, cancel).await?;
        }
        let patience = self.settings.fetch.deadline;
        let too_late = || ReceiveError::from(too_late(&format!("the image {}", image.digest), patience));
        let late = Instant::now().checked_add(patience).ok_or_else(too_late)?;
        for _ in 0..ROUNDS {
            let mut session = Session::start(about);
            let outcome = timeout_at(late, session.run()).await;
            let outcome = outcome.unwrap_or_else(|_| Err(Trouble::End(too_late())));
            session.finish(outcome).await?;
            if locked(&staging).missing().is_empty() {
                break;
            }
        }
        let staging = locked(&staging);
        match (staging.length(), staging.missing().count()) {
            (Some(length), 0) => {
                progress(length, Some(length));
                Ok(length)
            }
            (_, missing) => Err(FlashError::Io {
                action: "keep an image in the slot".to_owned(),
                text: format!("{missing} chunks were written and are not there"),
            }
            .into()),
        }
    }

    /// The hashes of the image's chunks: kept from last time, or fetched.
    async fn tree(&self, about: About<'_>) -> Result<Option<Arc<Tree>>, ReceiveError> {
        let (kept, length) = {
            let staging = locked(about.staging);
            if staging.missing().is_empty() {
                return Ok(None);
            }
            (staging.tree(), staging.length())
        };
        let (Some(root), Some(length), true) = (&about.image.root, length, about.image.outboard) else {
            return Ok(kept);
        };
        if kept.is_some() {
            return Ok(kept);
        }
        let mut session = Session::start(about);
        let fetched = session.outboard(&root.bytes, length).await;
        let (outcome, fetched) = match fetched {
            Ok(fetched) => (Ok(()), fetched),
            Err(trouble) => (Err(trouble), None),
        };
        session.finish(outcome).await?;
        let Some((tree, outboard)) = fetched else {
            tracing::warn!(
                "no source has the hashes of the image's chunks; it is verified as a whole in the end"
            );
            return Ok(None);
        };
        let tree = Arc::new(tree);
        let kept = Arc::clone(&tree);
        let keep = move |staging: &Mutex<Staging>| {
            locked(staging).keep_tree(kept, &outboard);
            Ok(())
        };
        self.on_disk(about.staging, keep).await?;
        Ok(Some(tree))
    }

    /// Takes what is in the slot already, and what the running slot has.
    async fn look_around(
        &self,
        staging: &Arc<Mutex<Staging>>,
        tree: &Arc<Tree>,
        cancel: &CancellationToken,
    ) -> Result<(), ReceiveError> {
        let (settings, shared, tree, cancel) =
            (Arc::clone(&self.settings), Arc::clone(staging), Arc::clone(tree), cancel.clone());
        let look = move |staging: &Mutex<Staging>| {
            local::find(staging, &tree, &settings)?;
            let running = locked(staging).running();
            if let Some(running) = running {
                local::copy(&shared, &tree, &running, &settings, &cancel)?;
            }
            Ok(())
        };
        self.on_disk(staging, look).await
    }

    /// Does what blocks on the disk: on a thread for that, or here where everything is to happen in turn.
    async fn on_disk(
        &self,
        staging: &Arc<Mutex<Staging>>,
        work: impl FnOnce(&Mutex<Staging>) -> Result<(), FlashError> + Send + 'static,
    ) -> Result<(), ReceiveError> {
        if !self.settings.overlaps() {
            return Ok(work(staging)?);
        }
        let staging = Arc::clone(staging);
        let done = blocking(move || work(&staging)).await;
        Ok(done.map_err(|error| ReceiveError::stopped(&error))??)
    }
}
