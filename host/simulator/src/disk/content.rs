//! What is in one file: what reads see, what is durable, and what stands between the two.

use std::sync::Arc;

use super::cut::Loss;
use crate::random::Random;

/// What a disk writes at once: a cut tears between sectors, and with [`Loss::Torn`] inside of one.
pub const SECTOR: usize = 512;

/// A change that is seen and not yet durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at an offset.
    Write(usize, Arc<[u8]>),
    /// Another length.
    Length(usize),
}

/// One file. Cheap to clone: bytes are shared until they are written to.
#[derive(Clone, Debug, Default)]
pub struct Content {
    shown: Arc<Vec<u8>>,
    kept: Arc<Vec<u8>>,
    pending: Vec<Change>,
    /// A sync has failed: something that is seen will never be durable.
    doomed: bool,
}

impl Content {
    /// A file that was there all along.
    pub fn durable(bytes: Vec<u8>) -> Content {
        let bytes = Arc::new(bytes);
        Content { shown: Arc::clone(&bytes), kept: bytes, pending: Vec::new(), doomed: false }
    }

    /// Whether what is seen is what is durable.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.doomed
    }

    /// What reads see.
    pub fn shown(&self) -> &[u8] {
        &self.shown
    }

    /// What is there after a power cut in any case.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Changes it, not durably.
    pub fn change(&mut self, change: Change) {
        apply(Arc::make_mut(&mut self.shown), &change);
        self.pending.push(change);
    }

    /// Makes it durable, all but what an earlier sync has lost.
    pub fn sync(&mut self) {
        if self.doomed {
            let kept = Arc::make_mut(&mut self.kept);
            self.pending.iter().for_each(|change| apply(kept, change));
        } else if !self.pending.is_empty() {
            self.kept = Arc::clone(&self.shown);
        }
        self.pending.clear();
    }

    /// A sync that fails: the kernel marks the pages clean, shows them on, and never writes them. Some of them it may have
    /// written, and torn the last one.
    pub fn lose(&mut self, random: &mut Random) {
        if self.pending.is_empty() {
            return;
        }
        let loss = if random.one_in(2) { Loss::Torn } else { Loss::Everything };
        let kept = Arc::make_mut(&mut self.kept);
        self.pending.drain(..).for_each(|change| survive(kept, &change, loss, random));
        self.doomed = true;
    }

    /// Drops what is cached and clean: reads ask the medium, and what was lost is seen to be.
    pub fn forget(&mut self) {
        if self.doomed {
            self.shown = Arc::clone(&self.kept);
            let shown = Arc::make_mut(&mut self.shown);
            self.pending.iter().for_each(|change| apply(shown, change));
            self.doomed = false;
        }
    }

    /// Flips a bit on the medium, seen at once.
    pub fn rot(&mut self, random: &mut Random) {
        // Often early: what begins a file is what most is read from.
        let length = self.kept.len() as u64;
        let within = if random.one_in(2) { length.min(64) } else { length };
        let at = random.below(within) as usize;
        self.flip(at, random.below(8) as u32);
    }

    /// Flips this bit on the medium, seen at once. False where there is no such byte.
    pub fn flip(&mut self, at: usize, bit: u32) -> bool {
        [&mut self.kept, &mut self.shown].into_iter().fold(false, |_, bytes| {
            let byte = Arc::make_mut(bytes).get_mut(at);
            byte.map(|byte| *byte ^= 1 << bit).is_some()
        })
    }

    /// What a power cut leaves.
    pub fn cut(&mut self, loss: Loss, random: &mut Random) {
        if !self.pending.is_empty() {
            let kept = Arc::make_mut(&mut self.kept);
            self.pending.iter().for_each(|change| survive(kept, change, loss, random));
            self.pending.clear();
        }
        self.shown = Arc::clone(&self.kept);
        self.doomed = false;
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => put(bytes, *offset, new),
        Change::Length(length) => bytes.resize(*length, 0),
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(new);
    }
}

/// Applies as much of a change as the cut leaves of it.
fn survive(bytes: &mut Vec<u8>, change: &Change, loss: Loss, random: &mut Random) {
    let Change::Write(offset, new) = change else {
        if loss.keeps_length(random) {
            apply(bytes, change);
        }
        return;
    };
    if loss.is_plain() {
        if loss.keeps_bytes(random) {
            put(bytes, *offset, new);
        } else if loss.keeps_length(random) && bytes.len() < offset + new.len() {
            bytes.resize(offset + new.len(), 0);
        }
        return;
    }
    // Sector by sector, as they stand on the disk.
    let mut from = 0;
    while from < new.len() {
        let length = (SECTOR - (offset + from) % SECTOR).min(new.len() - from);
        if let Some(sector) = new.get(from..from + length)
            && loss.keeps_bytes(random)
        {
            let torn = if loss == Loss::Torn && random.one_in(3) {
                // Often early: what begins a sector is what most is read from.
                let most = if random.one_in(2) { length } else { length.min(48) };
                random.below(most as u64) as usize
            } else {
                length
            };
            put(bytes, offset + from, sector.get(..torn).unwrap_or_default());
        }
        from += length;
    }
}
