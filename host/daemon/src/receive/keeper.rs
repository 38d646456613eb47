//! Makes what was written durable, says so, and reads it back.
//!
//! When: at the latest after so many bytes, or so long after the last time if anything waits. So a slow link loses one
//! chunk in a power cut and a fast one some MiB, of which most is found again by its hashes.
//!
//! Reading back here and not at the seal costs nothing where the network is the bottleneck. It is done after the sync,
//! past the kernel's cache: before it the bytes might come from anywhere but the medium.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use hotshoe_core::image::{Runs, Tree};
use tokio::time::Instant;

use super::{ReceiveSettings, sink::locked};
use crate::flash::{FlashError, Staging};

/// Chunks that may turn out wrong on the medium and are written again, before it is given up.
const ROTTEN: u64 = 16;

/// The one who flushes. Calls block on the disk.
pub(super) struct Keeper {
    staging: Arc<Mutex<Staging>>,
    tree: Option<Arc<Tree>>,
    step: u64,
    every: Duration,
    /// Whether there is anything to win by reading back before the seal does.
    overlaps: bool,
    last: Instant,
    rotten: u64,
    /// Somebody waits for the end: nothing more is read back.
    hurry: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn new(
        staging: Arc<Mutex<Staging>>,
        tree: Option<Arc<Tree>>,
        settings: &ReceiveSettings,
        hurry: Arc<AtomicBool>,
    ) -> Self {
        let (step, every, overlaps) = (settings.flush_step, settings.flush_every, settings.overlaps());
        Self { staging, tree, step, every, overlaps, last: Instant::now(), rotten: 0, hurry }
    }

    /// Flushes if it is time.
    pub(super) fn step(&mut self) -> Result<(), FlashError> {
        let waiting = locked(&self.staging).unsynced_bytes();
        if waiting > 0 && (waiting >= self.step || self.last.elapsed() >= self.every) {
            return self.keep();
        }
        Ok(())
    }

    /// Makes durable what was written until now, and reads it back.
    pub(super) fn keep(&mut self) -> Result<(), FlashError> {
        let unsynced = locked(&self.staging).unsynced();
        if let Some(unsynced) = unsynced {
            let runs = unsynced.runs().clone();
            // Without the lock: the next chunks are written meanwhile.
            let synced = unsynced.sync();
            {
                let mut staging = locked(&self.staging);
                match synced {
                    Ok(()) => staging.synced(unsynced)?,
                    Err(error) => return Err(staging.sync_failed(error)),
                }
            }
            self.read_back(&runs)?;
        }
        self.last = Instant::now();
        Ok(())
    }

    fn read_back(&mut self, runs: &Runs) -> Result<(), FlashError> {
        let early = self.overlaps && !self.hurry.load(Ordering::Relaxed);
        let Some(tree) = self.tree.as_ref().filter(|_| early) else { return Ok(()) };
        let reader = locked(&self.staging).reader();
        let failed = FlashError::io("read back what was written to the slot");
        let wrong = reader.wrong(tree, runs).map_err(failed)?;
        let mut right = runs.clone();
        right.subtract(&wrong);
        let mut staging = locked(&self.staging);
        staging.verified(&right);
        if wrong.is_empty() {
            return Ok(());
        }
        self.rotten = self.rotten.saturating_add(wrong.count());
        tracing::warn!(chunks = wrong.count(), "the slot does not hold what was written; writing it again");
        staging.forget(&wrong)?;
        if self.rotten > ROTTEN {
            return Err(FlashError::Io {
                action: "keep an image in the slot".to_owned(),
                text: format!("{} chunks read back differently from what was written", self.rotten),
            });
        }
        Ok(())
    }

    /// Flushes whenever it is time, until nobody writes any more; then once and for all.
    pub(super) fn run(mut self, written: &Receiver<()>) -> Result<(), FlashError> {
        let patience = self.every.max(Duration::from_millis(1));
        loop {
            match written.recv_timeout(patience) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.step()?,
                Err(RecvTimeoutError::Disconnected) => return self.keep(),
            }
        }
    }
}
