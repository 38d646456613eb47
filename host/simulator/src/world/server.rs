//! The servers that an image is received from in chunks, as sources of the real receiver.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hotshoe_core::image::CHUNK;
use hotshoed::{
    fetch::FetchSettings,
    receive::{Body, Opened, Part, ReceiveSettings, Source, SourceError},
};

use super::{Image, Piece};
use crate::machine::Machine;

/// How many bytes a server sends at a time: less than a chunk, and no part of one.
pub(super) const PIECE: usize = 9_000;

/// A server that has an image, or one with a wrong byte in it.
pub(super) struct Server {
    pub(super) machine: Machine,
    pub(super) image: Image,
    pub(super) piece: Piece,
    pub(super) name: &'static str,
}

/// An answer under way.
struct Answer {
    machine: Machine,
    rest: Bytes,
    /// Bytes of the whole, where those that are sent twice count.
    counted: Option<usize>,
}

/// How images are received here: in turn, durable after each write, without pauses.
pub(super) fn settings() -> ReceiveSettings {
    let fetch = FetchSettings {
        backoff: Duration::ZERO,
        longest_backoff: Duration::ZERO,
        ..FetchSettings::default()
    };
    ReceiveSettings {
        fetch,
        flush_step: CHUNK,
        flush_every: Duration::ZERO,
        overlap: false,
        ..ReceiveSettings::default()
    }
}

impl Source for Server {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            let bytes = match part {
                Part::Image => self.image.served(&self.piece, 0, self.piece.bytes.len()),
                Part::Outboard => self.piece.outboard.to_vec(),
                Part::Zstd => self.piece.frames(),
            };
            let total = if part == Part::Image { self.piece.bytes.len() } else { bytes.len() };
            let there = bytes.len();
            let from = usize::try_from(from).unwrap_or(there).min(there);
            let to = to.and_then(|to| usize::try_from(to).ok()).unwrap_or(there).min(there).max(from);
            let rest = Bytes::from(bytes).slice(from..to);
            let counted = (part == Part::Image).then_some(total);
            let answer = Answer { machine: self.machine.clone(), rest, counted };
            Ok(Opened { body: Box::new(answer), start: from as u64, total: Some(total as u64) })
        })
    }
}

impl Body for Answer {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        Box::pin(async move {
            if self.rest.is_empty() {
                return Ok(None);
            }
            if self.machine.with(|state| state.world.flaky && state.random.one_in(8)) {
                return Err(SourceError::broken("the server broke off"));
            }
            let piece = self.rest.split_to(PIECE.min(self.rest.len()));
            if let Some(length) = self.counted
                && let Some(wrong) = self.machine.with(|state| state.received(piece.len(), length, PIECE))
            {
                self.machine.violate(wrong);
            }
            tokio::task::yield_now().await;
            Ok(Some(piece))
        })
    }
}
