//! Chunks that need no network: those that stand in the slot already, and those the running slot has too.
//!
//! After `kill -9` the slot holds more than its record says, and after a power cut often as well. Their hashes tell which
//! chunks are right, so they are looked for from the record's holes on, within bounds, and not fetched again.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use hotshoe_core::{
    image::{Runs, Tree, bytes_of},
    planted::{self, Bug},
};
use tokio_util::sync::CancellationToken;

use super::{
    ReceiveSettings,
    keeper::Keeper,
    sink::{BATCH, CHUNK_BYTES, Sink, Work, locked},
};
use crate::{
    disk::{Buffer, Hint},
    flash::{FlashError, Running, Staging},
};

/// Pieces in a row without one right chunk after which nothing more is looked for.
const MISSES: u64 = 4;

/// Looks for chunks in the slot that the record does not have. They are made durable with the next ones.
pub(super) fn find(
    staging: &Mutex<Staging>,
    tree: &Tree,
    settings: &ReceiveSettings,
) -> Result<u64, FlashError> {
    let (missing, reader) = {
        let staging = locked(staging);
        (staging.missing(), staging.reader())
    };
    // What may have been written since the last flush, and what was under way.
    let most = settings.flush_step.saturating_mul(2) / (BATCH * CHUNK_BYTES as u64) + 16;
    let (mut found, mut misses) = (Runs::new(), 0);
    for piece in missing.iter().flat_map(pieces).take(usize::try_from(most).unwrap_or(usize::MAX)) {
        let mut right: Runs = std::iter::once(piece).collect();
        // A slot that cannot be read where nothing was written yet is no reason not to write to it.
        let Ok(wrong) = reader.wrong(tree, &right) else { break };
        if !planted::on(Bug::FoundUnchecked) {
            right.subtract(&wrong);
        }
        misses = if right.is_empty() { misses + 1 } else { 0 };
        found.union(&right);
        if misses == MISSES {
            break;
        }
    }
    if !found.is_empty() {
        tracing::info!(chunks = found.count(), "found in the slot what the record did not have yet");
        locked(staging).found(&found);
    }
    Ok(found.count())
}

/// Copies the chunks that the running slot has too, by the hashes that were kept. Returns how many.
pub(super) fn copy(
    staging: &Arc<Mutex<Staging>>,
    tree: &Arc<Tree>,
    running: &Running,
    settings: &ReceiveSettings,
    cancel: &CancellationToken,
) -> Result<u64, FlashError> {
    let missing = locked(staging).missing();
    let shared = missing.iter().flat_map(Clone::clone).filter(|chunk| tree.shares(*chunk, &running.tree));
    let shared: Runs = shared.map(|chunk| chunk..chunk.saturating_add(1)).collect();
    if shared.is_empty() {
        return Ok(0);
    }
    let verdict = Arc::default();
    let checked = (!planted::on(Bug::CopyUnchecked)).then(|| Arc::clone(tree));
    let mut sink = Sink::new(Arc::clone(staging), checked, Arc::clone(&verdict));
    let mut keeper = Keeper::new(Arc::clone(staging), Some(Arc::clone(tree)), settings, Arc::default());
    let mut buffer = Buffer::new(CHUNK_BYTES.saturating_mul(BATCH as usize));
    running.volume.hint(Hint::ReadAhead);
    for piece in shared.iter().flat_map(pieces) {
        let bytes = bytes_of(&piece, tree.length());
        let filled = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or_default();
        let read = running.volume.read_at(buffer.get_mut(..filled).unwrap_or_default(), bytes.start);
        if let Err(error) = read {
            tracing::warn!(%error, "cannot read the running slot; fetching what it has as well");
            break;
        }
        let mut work = Work { buffer, first: piece.start, filled, frame: None };
        sink.take(&mut work)?;
        buffer = work.buffer;
        keeper.step()?;
        if cancel.is_cancelled() {
            break;
        }
    }
    keeper.keep()?;
    let copied = locked(&verdict).good;
    tracing::info!(chunks = copied, "taken from the running slot");
    Ok(copied)
}

/// A run in pieces of a batch.
fn pieces(run: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = run.end;
    run.clone().step_by(BATCH as usize).map(move |first| first..first.saturating_add(BATCH).min(end))
}
