//! An image on its way into a slot.
//!
//! Written front to back ([`Staging::append`]) or chunk by chunk ([`Staging::write_chunks`]), made durable every so often,
//! read back from the disk in the end. Holding the slot's lease is checked for every piece: a copy that a dead job left
//! running stops at the next one.

mod chunks;
mod kept;
mod seal;

use std::fmt::Debug;
use std::sync::Arc;

use hotshoe_core::{
    planted::{self, Bug},
    policy::Unsigned,
};

use super::{Assurance, FlashError, Inner, PartConfig, record::SlotRecord};
use crate::{
    artifact::{Artifact, Vouched},
    disk::{Hint, Open, Volume},
    fetch::Progress,
};
use chunks::Chunks;

pub use chunks::{Reader, Unsynced};
pub use kept::Running;

/// How many bytes are written between two flushes: what a power cut costs at most, and how often the record wears.
const FLUSH_STEP: u64 = 64 * 1024 * 1024;

/// How many bytes are written before the kernel is asked to put them on the disk.
const WRITE_BACK_STEP: u64 = 8 * 1024 * 1024;

/// How many bytes are copied at a time.
const PIECE: usize = 1024 * 1024;

/// Counts what is written into slots, and says when no more may be.
pub trait Wear: Debug + Send + Sync + 'static {
    /// Counts bytes that are to be written, before they are. Blocks on a disk.
    ///
    /// # Errors
    /// They may not be written now, and why; or they could not be counted.
    fn writes(&self, bytes: u64) -> Result<(), FlashError>;
}

/// An open slot, for one image. Calls block on the disk.
#[derive(Debug)]
pub struct Staging {
    pub(super) flash: Arc<Inner>,
    pub(super) slot: PartConfig,
    volume: Arc<dyn Volume>,
    /// The same past the kernel's cache, as long as the kernel takes it.
    direct: Option<Arc<dyn Volume>>,
    pub(super) record: SlotRecord,
    generation: u64,
    assurance: Assurance,
    written: u64,
    /// Bytes the kernel was asked to put on the disk.
    handed_over: u64,
    /// Which chunks are there, if it is not written front to back.
    chunks: Option<Chunks>,
    wear: Option<Arc<dyn Wear>>,
}

impl Staging {
    pub(super) fn new(
        flash: Arc<Inner>,
        slot: PartConfig,
        record: SlotRecord,
        generation: u64,
        assurance: Assurance,
    ) -> Result<Self, FlashError> {
        let volume = slot.open(Open::Existing);
        let volume = Arc::from(volume.map_err(FlashError::io(format!("open slot {:?}", slot.name)))?);
        let direct = slot.open(Open::Direct).ok().map(Arc::from);
        let written = record.written;
        let chunks = (record.length.is_some() || !record.chunks.is_empty()).then(|| Chunks::of(&record));
        let mut staging = Self {
            flash,
            slot,
            volume,
            direct,
            record,
            generation,
            assurance,
            written,
            handed_over: written,
            chunks,
            wear: None,
        };
        staging.load_tree();
        Ok(staging)
    }

    /// The same; this says how many bytes may be written.
    #[must_use]
    pub fn wearing(self, wear: Arc<dyn Wear>) -> Self {
        Self { wear: Some(wear), ..self }
    }

    /// Counts bytes that are to be written. Not under the lease, which others wait for.
    fn wears(&self, bytes: &[u8]) -> Result<(), FlashError> {
        self.wear.as_ref().map_or(Ok(()), |wear| wear.writes(bytes.len() as u64))
    }

    /// Bytes written, counted from the start of the image. The next ones go there.
    pub fn written(&self) -> u64 {
        self.chunks.as_ref().map_or(self.written, Chunks::written)
    }

    /// Appends bytes; returns [`Self::written`] afterwards. Durable at the next flush, at [`Self::seal`] at the latest.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, FlashError> {
        self.writable(bytes)?;
        self.front_to_back()?;
        let needed = self.written.saturating_add(bytes.len() as u64);
        if needed > self.slot.size {
            return Err(FlashError::InsufficientSpace { needed, available: self.slot.size });
        }
        self.wears(bytes)?;
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        let action = || format!("write to slot {:?}", self.slot.name);
        let written = self.volume.write_at(bytes, self.written);
        if written.is_err() && planted::on(Bug::WriteErrorIsSize) {
            return Err(FlashError::InsufficientSpace { needed, available: self.slot.size });
        }
        written.map_err(FlashError::io(action()))?;
        self.written = needed;
        if needed.saturating_sub(self.handed_over) >= WRITE_BACK_STEP {
            let length = needed.saturating_sub(self.handed_over);
            self.volume.hint(Hint::WriteBack { offset: self.handed_over, length });
            self.handed_over = needed;
        }
        if needed.saturating_sub(self.record.written) >= FLUSH_STEP {
            self.flush()?;
        }
        Ok(needed)
    }

    /// Appends what is missing of a file; returns [`Self::written`] afterwards. Durable when it returns.
    ///
    /// A file whose digest is known to be another one is refused before a byte is written. `progress` is called after
    /// each MiB; whoever passes it on to people should do so less often.
    pub fn append_artifact(&mut self, artifact: &Artifact, progress: &Progress) -> Result<u64, FlashError> {
        self.accept(artifact)?;
        let size = artifact.size();
        if self.written() > size {
            // Somebody appended something else before: from the start.
            self.front_to_back()?;
            self.record.written = 0;
            self.written = 0;
            self.handed_over = 0;
        }
        artifact.file().hint(Hint::ReadAhead);
        let mut buffer = vec![0; PIECE];
        while self.written() < size {
            let wanted = usize::try_from(size.saturating_sub(self.written())).unwrap_or(PIECE).min(PIECE);
            let (piece, _) = buffer.split_at_mut(wanted);
            let read = artifact.file().read_at(piece, self.written());
            read.map_err(FlashError::io("read the file to be staged"))?;
            self.append(piece)?;
            progress(self.written(), Some(size));
        }
        if self.chunks.is_none() && self.written > self.record.written {
            let flash = Arc::clone(&self.flash);
            let lease = flash.slot(&self.slot.name)?.lease();
            self.current(lease.generation)?;
            self.flush()?;
        }
        Ok(self.written())
    }

    /// Whether a file may go into this slot.
    fn accept(&self, artifact: &Artifact) -> Result<(), FlashError> {
        let (needed, available) = (artifact.size(), self.slot.size);
        if needed > available {
            return Err(FlashError::InsufficientSpace { needed, available });
        }
        let (expected, actual) = (&self.record.digest, artifact.digest());
        if expected.algorithm == actual.algorithm && expected != actual {
            let (expected, actual) = (expected.clone(), actual.clone());
            return Err(FlashError::DigestMismatch { expected, actual });
        }
        if self.assurance == Assurance::Policy(Unsigned::Digest) && artifact.vouched() == Vouched::Nobody {
            return Err(FlashError::Untrusted(format!(
                "nothing vouches for {actual}: the file was fetched without a digest, and firmware.unsigned is \
                 \"digest\" in the device's policy; fetch it as firmware, with a digest or one beside it"
            )));
        }
        Ok(())
    }

    /// Whether this staging is the slot's last one, and its job still holds it.
    pub(super) fn current(&self, generation: u64) -> Result<(), FlashError> {
        if generation == self.generation || planted::on(Bug::LeaseIgnored) {
            return Ok(());
        }
        let text = format!("slot {:?} was staged anew or let go of; open it again", self.slot.name);
        Err(FlashError::Busy(text))
    }

    /// Whether these bytes may be written, as far as the record says.
    fn writable(&self, bytes: &[u8]) -> Result<(), FlashError> {
        if self.record.sealed.is_none() || bytes.is_empty() {
            return Ok(());
        }
        let text =
            format!("slot {:?} is sealed with this image; nothing can be written to it", self.slot.name);
        Err(FlashError::Busy(text))
    }

    /// Goes on front to back from where the chunks have their first hole: what is behind it will be written over.
    fn front_to_back(&mut self) -> Result<(), FlashError> {
        if self.chunks.is_none() || self.record.sealed.is_some() {
            return Ok(());
        }
        let durable = chunks::written(&self.record.chunks, self.record.length);
        let record = SlotRecord {
            written: durable,
            signed: self.record.signed.clone(),
            ..SlotRecord::opened(self.record.digest.clone(), None)
        };
        self.keep(record)?;
        self.chunks = None;
        (self.written, self.handed_over) = (durable, durable);
        Ok(())
    }

    /// Replaces the slot's record, if this staging may. Durable when it returns.
    fn keep(&mut self, record: SlotRecord) -> Result<(), FlashError> {
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        self.gives_way(Some(&record))?;
        flash.records.write(&self.slot.name, &record)?;
        self.record = record;
        Ok(())
    }

    /// Makes what is written durable, and then says so. In this order. The lease is held by the caller.
    fn flush(&mut self) -> Result<(), FlashError> {
        let synced = if planted::on(Bug::JournalFirst) { Ok(()) } else { self.volume.sync() };
        if let Err(error) = synced
            && !planted::on(Bug::FlushFailureIgnored)
        {
            // The kernel has dropped what it could not write: only what was flushed before is there.
            self.written = self.record.written;
            self.handed_over = self.written;
            return Err(FlashError::io(format!("flush slot {:?}", self.slot.name))(error));
        }
        let record = SlotRecord { written: self.written, ..self.record.clone() };
        self.flash.records.write(&self.slot.name, &record)?;
        self.record = record;
        Ok(())
    }
}
