//! What becomes of received bytes: decompressed if need be, verified, written.
//!
//! A chunk whose hash is wrong never reaches the slot; it is noted, and so is every one that did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotshoe_core::{
    image::{CHUNK, Tree, chunks},
    planted::{self, Bug},
};

use super::zstd::{Decoder, FRAME, Frame};
use crate::{
    disk::Buffer,
    flash::{FlashError, Staging},
};

/// Chunks that go through as one.
pub(super) const BATCH: u64 = 8;

/// Bytes of a chunk, as a length in memory.
pub(super) const CHUNK_BYTES: usize = CHUNK as usize;

/// Bytes on their way to the slot.
#[derive(Debug)]
pub(super) struct Work {
    /// Room for [`BATCH`] chunks.
    pub(super) buffer: Buffer,
    /// The chunk at its beginning.
    pub(super) first: u64,
    /// Bytes in it.
    pub(super) filled: usize,
    /// In place of the bytes in the buffer: some that are compressed.
    pub(super) frame: Option<Frame>,
}

/// What was found out about chunks since somebody looked last.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Chunks that were written.
    pub(super) good: u64,
    /// Those whose hash was wrong.
    pub(super) bad: Vec<u64>,
    /// Frames that were none, or held wrong chunks.
    pub(super) garbled: u64,
    /// Why nothing more is taken.
    pub(super) failed: Option<FlashError>,
}

/// Verifies and writes. Calls block on the disk.
pub(super) struct Sink {
    staging: Arc<Mutex<Staging>>,
    tree: Option<Arc<Tree>>,
    verdict: Arc<Mutex<Verdict>>,
    decoder: Option<(Decoder, Buffer)>,
}

impl Sink {
    pub(super) fn new(
        staging: Arc<Mutex<Staging>>,
        tree: Option<Arc<Tree>>,
        verdict: Arc<Mutex<Verdict>>,
    ) -> Self {
        Self { staging, tree, verdict, decoder: None }
    }

    /// Takes in what came. Only what the slot cannot take is an error.
    pub(super) fn take(&mut self, work: &mut Work) -> Result<(), FlashError> {
        match work.frame.take() {
            Some(frame) => self.take_frame(&frame),
            None => {
                let bytes = work.buffer.get(..work.filled).unwrap_or_default();
                let bad = self.take_chunks(work.first, bytes)?;
                locked(&self.verdict).bad.extend(bad);
                Ok(())
            }
        }
    }

    fn take_frame(&mut self, frame: &Frame) -> Result<(), FlashError> {
        let (mut decoder, mut buffer) =
            self.decoder.take().unwrap_or_else(|| (Decoder::default(), Buffer::new(FRAME)));
        let room = buffer.get_mut(..frame.length).unwrap_or_default();
        let decoded = decoder.decode(&frame.bytes, room);
        let bad = match &decoded {
            Ok(()) => self.take_chunks(frame.first, room)?.len(),
            Err(error) => {
                tracing::warn!(offset = frame.first.saturating_mul(CHUNK), %error, "a compressed frame is no good");
                1
            }
        };
        self.decoder = Some((decoder, buffer));
        if bad == 0 {
            locked(&self.staging).border(frame.border);
        } else {
            let mut verdict = locked(&self.verdict);
            verdict.garbled = verdict.garbled.saturating_add(1);
        }
        Ok(())
    }

    /// Writes the good ones of these chunks, as few writes as can be; returns the others.
    fn take_chunks(&self, first: u64, bytes: &[u8]) -> Result<Vec<u64>, FlashError> {
        let run = first..first.saturating_add(chunks(bytes.len() as u64));
        let wanted: Vec<bool> = {
            let staging = locked(&self.staging);
            run.clone().map(|chunk| !staging.has(chunk)).collect()
        };
        let mut bad = Vec::new();
        // Where the good ones that were not written yet begin and end.
        let (mut from, mut to) = (0, 0);
        for ((chunk, piece), wanted) in run.zip(bytes.chunks(CHUNK_BYTES)).zip(wanted) {
            let good = wanted
                && (self.tree.as_ref().is_none_or(|tree| tree.verifies(chunk, piece))
                    || planted::on(Bug::ChunkUnchecked));
            if wanted && !good {
                bad.push(chunk);
            }
            let end = to + piece.len();
            if good {
                to = end;
                continue;
            }
            self.write(first, bytes, from..to)?;
            (from, to) = (end, end);
        }
        self.write(first, bytes, from..to)?;
        Ok(bad)
    }

    fn write(&self, first: u64, bytes: &[u8], range: std::ops::Range<usize>) -> Result<(), FlashError> {
        let Some(good) = bytes.get(range.clone()).filter(|good| !good.is_empty()) else { return Ok(()) };
        let first = first.saturating_add(range.start as u64 / CHUNK);
        locked(&self.staging).write_chunks(first, good)?;
        let mut verdict = locked(&self.verdict);
        verdict.good = verdict.good.saturating_add(chunks(good.len() as u64));
        Ok(())
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
