//! Chunks in any order.
//!
//! Four sets of them, each a part of the one before: those that are *there* (written, for readers), those that are no
//! longer *unsynced* (durable), those in the *record* (durable, and said so), those *verified* (read back after a sync).
//! A chunk enters the record only after it was synced, and is taken out of it, durably, before it is written again. So the
//! record never speaks of bytes that a power cut could take.
//!
//! Syncing is cut in two ([`Staging::unsynced`], [`Staging::synced`]) so that the next chunks can be written meanwhile.

use std::{io, ops::Range, sync::Arc, time::Instant};

use hotshoe_core::{
    digest::Digest,
    image::{CHUNK, Runs, Tree, bytes_of, chunks},
    planted::{self, Bug},
};

use super::{Staging, WRITE_BACK_STEP};
use crate::{
    disk::{Buffer, Hint, Volume},
    flash::{Encoded, FlashError, record::SlotRecord},
};

/// What is there of an image that arrives in chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) length: Option<u64>,
    pub(super) there: Runs,
    pub(super) unsynced: Runs,
    pub(super) verified: Runs,
    /// When the first of those was read back.
    pub(super) since: Option<Instant>,
    pub(super) tree: Option<Arc<Tree>>,
    /// Places between frames of the compressed stream that the record does not have yet, in order.
    borders: Vec<Encoded>,
    /// Bytes that were written through the cache since the disk was last asked to begin with them.
    early: Range<u64>,
}

/// Chunks that were written and are to be made durable.
#[derive(Debug)]
pub struct Unsynced {
    volume: Arc<dyn Volume>,
    runs: Runs,
}

/// A slot to be read while others write to it.
#[derive(Clone, Debug)]
pub struct Reader {
    volume: Arc<dyn Volume>,
    direct: Option<Arc<dyn Volume>>,
}

/// Bytes that are there without a hole.
pub(super) fn written(runs: &Runs, length: Option<u64>) -> u64 {
    runs.prefix().saturating_mul(CHUNK).min(length.unwrap_or(u64::MAX))
}

impl Chunks {
    pub(super) fn of(record: &SlotRecord) -> Self {
        Self {
            length: record.length,
            there: record.chunks.clone(),
            unsynced: Runs::new(),
            verified: Runs::new(),
            since: None,
            tree: None,
            borders: Vec::new(),
            early: 0..0,
        }
    }

    pub(super) fn written(&self) -> u64 {
        written(&self.there, self.length)
    }
}

impl Unsynced {
    /// Makes them durable. Without any lock: others may write meanwhile.
    ///
    /// # Errors
    /// The disk's. Everything that was not durable before is lost then: tell [`Staging::sync_failed`].
    pub fn sync(&self) -> io::Result<()> {
        if planted::on(Bug::JournalFirst) {
            return Ok(());
        }
        let synced = self.volume.sync();
        if planted::on(Bug::FlushFailureIgnored) { Ok(()) } else { synced }
    }

    /// Which they are.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }
}

impl Reader {
    /// Reads past the kernel's cache where buffer and length allow it.
    ///
    /// # Errors
    /// The disk's.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = self.direct.as_ref().filter(|_| Buffer::fits(buffer)) {
            match direct.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                read => return read,
            }
        }
        self.volume.read_at(buffer, offset)
    }

    /// Lets the next reads ask the medium also where they cannot go past the cache.
    pub fn forget_cached(&self) {
        self.volume.hint(Hint::Forget);
    }
}

impl Staging {
    /// Says what image is to come: its length where that is known, and the root that vouches for its chunks.
    ///
    /// What is in the slot of the same image already counts on. Writes nothing but the record.
    ///
    /// # Errors
    /// The image is larger than the slot, the slot is no longer held, or the disk failed.
    pub fn begin(&mut self, length: Option<u64>, root: Option<&Digest>) -> Result<(), FlashError> {
        if let Some(needed) = length.filter(|length| *length > self.slot.size) {
            return Err(FlashError::InsufficientSpace { needed, available: self.slot.size });
        }
        if self.record.sealed.is_some() {
            return Ok(());
        }
        let mut record = self.record.clone();
        record.length = length.or(record.length);
        record.root = root.cloned().or(record.root);
        let before = &self.record;
        if (before.length.is_some() && before.length != record.length)
            || (before.root.is_some() && before.root != record.root)
        {
            (record.chunks, record.encoded) = (Runs::new(), None);
        }
        // A slot full of an image whose end never came: none of it is of use, and its end will not come either.
        if record.length.is_none() && record.chunks.missing(chunks(self.slot.size)).is_empty() {
            (record.chunks, record.encoded) = (Runs::new(), None);
        }
        // Whole chunks of what was written front to back; they are read back in the end like all others.
        record.chunks.insert(0..record.written / CHUNK);
        record.written = 0;
        if record != self.record {
            self.keep(record)?;
            self.chunks = None;
        }
        if self.chunks.is_none() {
            self.chunks = Some(Chunks::of(&self.record));
            self.load_tree();
        }
        Ok(())
    }

    /// Says how long the image is once its end has come.
    ///
    /// # Errors
    /// As [`Staging::begin`].
    pub fn end(&mut self, length: u64) -> Result<(), FlashError> {
        self.keep(SlotRecord { length: Some(length), ..self.record.clone() })?;
        if let Some(chunks) = &mut self.chunks {
            chunks.length = Some(length);
        }
        Ok(())
    }

    /// Bytes of the image, if that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.chunks {
            Some(chunks) => chunks.length,
            None => self.record.sealed.as_ref().map(|_| self.written),
        }
    }

    /// The chunks that are missing; as many as fit the slot where the length is not known.
    pub fn missing(&self) -> Runs {
        match &self.chunks {
            Some(state) if self.record.sealed.is_none() => {
                state.there.missing(chunks(state.length.unwrap_or(self.slot.size)))
            }
            _ => Runs::new(),
        }
    }

    /// Whether this chunk is there.
    pub fn has(&self, chunk: u64) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.there.contains(chunk))
    }

    /// Writes whole chunks, from this one on; the image's last one may be shorter. Not durable, and not checked here.
    ///
    /// Past the kernel's cache where the disk takes it and the bytes are a [`Buffer`]'s.
    ///
    /// # Errors
    /// They do not fit, the slot is no longer held, or the disk failed.
    pub fn write_chunks(&mut self, first: u64, bytes: &[u8]) -> Result<(), FlashError> {
        self.writable(bytes)?;
        let run = first..first.saturating_add(chunks(bytes.len() as u64));
        let offset = first.saturating_mul(CHUNK);
        let needed = offset.saturating_add(bytes.len() as u64);
        let available = self.length().unwrap_or(self.slot.size);
        if needed > available {
            return Err(FlashError::InsufficientSpace { needed, available });
        }
        self.wears(bytes)?;
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        let whole = bytes.len() - bytes.len() % usize::try_from(CHUNK).unwrap_or(usize::MAX);
        let (whole, last) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
        self.put(whole, offset)?;
        self.put(last, offset.saturating_add(whole.len() as u64))?;
        if let Some(chunks) = &mut self.chunks {
            chunks.there.insert(run.clone());
            chunks.unsynced.insert(run);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], offset: u64) -> Result<(), FlashError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(direct) = self.direct.as_ref().filter(|_| Buffer::fits(bytes)) {
            match direct.write_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written.map_err(self.cannot("write to")),
            }
        }
        self.volume.write_at(bytes, offset).map_err(self.cannot("write to"))?;
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let end = offset.saturating_add(bytes.len() as u64);
        chunks.early = if chunks.early.end == offset { chunks.early.start..end } else { offset..end };
        let length = chunks.early.end.saturating_sub(chunks.early.start);
        if length >= WRITE_BACK_STEP {
            self.volume.hint(Hint::WriteBack { offset: chunks.early.start, length });
            chunks.early = end..end;
        }
        Ok(())
    }

    /// Counts chunks as there that were found in the slot and verified. They are made durable with the next ones.
    pub fn found(&mut self, runs: &Runs) {
        if let Some(chunks) = &mut self.chunks {
            chunks.there.union(runs);
            chunks.unsynced.union(runs);
        }
    }

    /// Notes that everything before this place of the compressed stream has been handed over.
    pub fn border(&mut self, border: Encoded) {
        if let Some(chunks) = &mut self.chunks {
            chunks.borders.push(border);
        }
    }

    /// The last known place of the compressed stream before which everything is there; its beginning if there is none.
    pub fn reached(&self) -> Encoded {
        let there = self.chunks.as_ref().map_or(0, Chunks::written);
        let borders = self.chunks.iter().flat_map(|chunks| &chunks.borders).rev();
        let reached = borders.copied().find(|border| border.image <= there);
        reached.or(self.record.encoded).unwrap_or(Encoded { image: 0, stream: 0 })
    }

    /// What was written and is not durable, if anything.
    pub fn unsynced(&self) -> Option<Unsynced> {
        let chunks = self.chunks.as_ref().filter(|chunks| !chunks.unsynced.is_empty())?;
        Some(Unsynced { volume: Arc::clone(&self.volume), runs: chunks.unsynced.clone() })
    }

    /// Bytes that are not durable.
    pub fn unsynced_bytes(&self) -> u64 {
        self.chunks.as_ref().map_or(0, |chunks| chunks.unsynced.count().saturating_mul(CHUNK))
    }

    /// Says durably that these are durable. Durable when it returns.
    ///
    /// # Errors
    /// The slot is no longer held, or the disk failed; they count as not said then.
    pub fn synced(&mut self, synced: Unsynced) -> Result<(), FlashError> {
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let mut gone = synced.runs.clone();
        gone.subtract(&chunks.there);
        let mut runs = synced.runs;
        runs.subtract(&gone);
        let mut record = self.record.clone();
        record.chunks.union(&runs);
        let durable = written(&record.chunks, record.length);
        let passed = chunks.borders.iter().take_while(|border| border.image <= durable).count();
        record.encoded = chunks.borders.drain(..passed).next_back().or(record.encoded);
        chunks.unsynced.subtract(&runs);
        self.keep(record)
    }

    /// The disk could not make the last chunks durable: they are gone, whatever a later sync says.
    pub fn sync_failed(&mut self, error: io::Error) -> FlashError {
        if let Some(chunks) = &mut self.chunks {
            let tree = chunks.tree.take();
            *chunks = Chunks { tree, ..Chunks::of(&self.record) };
        }
        self.cannot("flush")(error)
    }

    /// Takes chunks out that turned out wrong; the slot is not sealed then. Durable when it returns: they may be written
    /// again.
    ///
    /// # Errors
    /// The slot is no longer held, it was sealed and is armed by now, or the disk failed.
    pub fn forget(&mut self, runs: &Runs) -> Result<(), FlashError> {
        let mut record = SlotRecord { sealed: None, ..self.record.clone() };
        record.chunks.subtract(runs);
        let durable = written(&record.chunks, record.length);
        record.encoded = record.encoded.filter(|border| border.image <= durable);
        if let Some(chunks) = &mut self.chunks {
            chunks.there.subtract(runs);
            chunks.unsynced.subtract(runs);
            chunks.verified.subtract(runs);
            chunks.borders.clear();
        }
        self.keep(record)
    }

    /// Counts durable chunks as read back and right, so that the seal need not read them again.
    pub fn verified(&mut self, runs: &Runs) {
        if let Some(chunks) = &mut self.chunks {
            let mut runs = runs.clone();
            runs.subtract(&chunks.unsynced);
            chunks.verified.union(&runs);
            chunks.since = chunks.since.or_else(|| Some(Instant::now()));
        }
    }

    /// The slot, for reading beside the writing.
    pub fn reader(&self) -> Reader {
        Reader { volume: Arc::clone(&self.volume), direct: self.direct.clone() }
    }

    /// Where these chunks stand in the image.
    pub fn bytes_of(&self, run: &Range<u64>) -> Range<u64> {
        bytes_of(run, self.length().unwrap_or(self.slot.size))
    }

    pub(super) fn cannot(&self, action: &str) -> impl FnOnce(io::Error) -> FlashError + use<> {
        FlashError::io(format!("{action} slot {:?}", self.slot.name))
    }
}
