//! How the bytes of an image come into a slot: front to back, or chunk by chunk by the host's own receiver.

use std::sync::{Arc, Mutex};

use hotshoe_core::policy::Unsigned;
use hotshoed::{
    flash::{FlashError, Staging},
    receive::{self, ReceiveError, Receiver, Source},
};
use tokio::{sync::oneshot, task::yield_now};
use tokio_util::sync::CancellationToken;

use super::{
    Image, Piece,
    guest::{Trouble, Update},
    server::{Server, settings},
};
use crate::machine::Machine;

/// How many bytes the server sends at a time.
const PIECE: usize = 1024;
/// The same where they come slowly.
const DRIP: usize = 400;
/// How many turns pass between two drips, and at most once nobody waits for them any more.
const TURNS: u64 = 30;
const LATER: u64 = 1500;

impl Update<'_> {
    pub(super) fn open(&self, name: &str, number: usize) -> Result<Staging, Trouble> {
        let piece = self.piece(number)?;
        Ok(self.host.flash.stage(name, &piece.digest, self.run.id.as_str(), Unsigned::Digest)?)
    }

    /// Whether the images are known before they are fetched, and need no store.
    pub(super) fn is_streamed(&self) -> bool {
        self.host.world.streamed || !self.host.world.parts.is_empty()
    }

    fn piece(&self, number: usize) -> Result<&Piece, Trouble> {
        self.image.pieces.get(number).ok_or_else(|| Trouble::passing(&"the image has no such part"))
    }

    /// What is missing of a piece of the image.
    pub(super) async fn fill(&self, staging: Staging, number: usize) -> Result<Staging, Trouble> {
        if self.is_streamed() {
            return self.stream(staging, number).await;
        }
        let (machine, image, piece) =
            (self.host.machine.clone(), self.image.clone(), self.piece(number)?.clone());
        if !self.host.world.lingering {
            return append(machine, image, piece, staging, None).await;
        }
        let (done, filled) = oneshot::channel();
        let over = CancellationToken::new();
        let late = over.clone().drop_guard();
        tokio::spawn(async move {
            let _ = done.send(append(machine, image, piece, staging, Some(over)).await);
        });
        let filled = self.run.handle.unless_cancelled(filled).await;
        drop(late);
        match filled {
            Ok(Ok(filled)) => filled,
            Ok(Err(_)) => Err(Trouble::passing(&"what writes is gone")),
            Err(cancelled) => Err(Trouble::passing(&cancelled)),
        }
    }

    async fn stream(&self, staging: Staging, number: usize) -> Result<Staging, Trouble> {
        let (world, piece) = (&self.host.world, self.piece(number)?);
        self.host.machine.with(|state| state.receives(&self.run.id, number));
        let image = receive::Image {
            digest: piece.digest.clone(),
            length: Some(piece.bytes.len() as u64),
            root: (!world.unrooted).then(|| piece.digest.clone()),
            outboard: !world.unrooted,
            zstd: world.compressed,
        };
        let server = |name, image: Image, piece: Piece| -> Arc<dyn Source> {
            Arc::new(Server { machine: self.host.machine.clone(), image, piece, name })
        };
        let mut sources = vec![server("server", self.image.clone(), piece.clone())];
        if world.mirrored {
            sources
                .insert(0, server("server with a wrong byte", self.image.clone().corrupt(), piece.clone()));
        }
        if world.forged {
            sources.insert(0, server("server with wrong hashes", self.image.clone(), piece.forged()));
        }
        let staging = Arc::new(Mutex::new(staging));
        let receiver = Receiver::new(settings());
        let cancel = CancellationToken::new();
        let received = receiver.receive(Arc::clone(&staging), &image, &sources, &|_, _| {}, &cancel).await;
        match received {
            Ok(_) => {}
            Err(ReceiveError::Flash(error)) => return Err(error.into()),
            Err(error) => return Err(Trouble::passing(&error)),
        }
        let staging = Arc::into_inner(staging).and_then(|staging| staging.into_inner().ok());
        staging.ok_or_else(|| Trouble::passing(&"the receiver holds the slot"))
    }
}

/// From where it was left to the end. Where it comes slowly and is `over` it comes slower still, and does not stop.
async fn append(
    machine: Machine,
    image: Image,
    piece: Piece,
    mut staging: Staging,
    over: Option<CancellationToken>,
) -> Result<Staging, Trouble> {
    let at_once = if over.is_some() { DRIP } else { PIECE };
    while (staging.written() as usize) < piece.bytes.len() {
        let from = staging.written() as usize;
        if machine.with(|state| state.world.flaky && state.random.one_in(8)) {
            return Err(Trouble::passing(&"the server broke off"));
        }
        let bytes = image.served(&piece, from, at_once);
        if bytes.is_empty() {
            return Err(Trouble::passing(&"the server has no more"));
        }
        staging.append(&bytes).map_err(|error: FlashError| Trouble::from(error))?;
        match &over {
            None => yield_now().await,
            Some(over) => {
                for _ in 0..TURNS {
                    yield_now().await;
                }
                if over.is_cancelled() {
                    for _ in 0..machine.with(|state| state.random.below(LATER)) {
                        yield_now().await;
                    }
                }
            }
        }
    }
    Ok(staging)
}
