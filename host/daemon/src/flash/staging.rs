//! An image on its way into a slot.
//!
//! Written front to back, made durable every so often, read back from the disk in the end. Holding the slot's lease
//! is checked for every piece: a copy that a dead job left running stops at the next one.

use std::sync::Arc;

use hotshoe_core::{digest::Digest, policy::Unsigned};

use super::{Assurance, FlashError, Inner, PartConfig, SignedImage, SlotRecord};
use crate::{
    artifact::{Artifact, Vouched, hash::Hasher},
    disk::{Hint, Open, Volume},
    fetch::Progress,
};

/// How many bytes are written between two flushes: what a power cut costs at most, and how often the record wears.
const FLUSH_STEP: u64 = 64 * 1024 * 1024;

/// How many bytes are written before the kernel is asked to put them on the disk.
const WRITE_BACK_STEP: u64 = 8 * 1024 * 1024;

/// How many bytes are copied at a time.
const PIECE: usize = 1024 * 1024;

/// Longest version in bytes.
const VERSION_LIMIT: usize = 128;

/// An open slot, for one image. Calls block on the disk.
#[derive(Debug)]
pub struct Staging {
    flash: Arc<Inner>,
    slot: PartConfig,
    volume: Box<dyn Volume>,
    record: SlotRecord,
    generation: u64,
    assurance: Assurance,
    written: u64,
    /// Bytes the kernel was asked to put on the disk.
    handed_over: u64,
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
        let volume = volume.map_err(FlashError::io(format!("open slot {:?}", slot.name)))?;
        let written = record.written;
        Ok(Self { flash, slot, volume, record, generation, assurance, written, handed_over: written })
    }

    /// Bytes written, counted from the start of the image. The next ones go there.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends bytes; returns [`Self::written`] afterwards. Durable at the next flush, at [`Self::seal`] at the latest.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, FlashError> {
        let needed = self.written.saturating_add(bytes.len() as u64);
        if needed > self.slot.size {
            return Err(FlashError::InsufficientSpace { needed, available: self.slot.size });
        }
        if self.record.sealed.is_some() && !bytes.is_empty() {
            let text =
                format!("slot {:?} is sealed with this image; nothing can be appended", self.slot.name);
            return Err(FlashError::Busy(text));
        }
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        let action = || format!("write to slot {:?}", self.slot.name);
        self.volume.write_at(bytes, self.written).map_err(FlashError::io(action()))?;
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
        if self.written > size {
            // Somebody appended something else before: from the start.
            self.record.written = 0;
            self.written = 0;
            self.handed_over = 0;
        }
        artifact.file().hint(Hint::ReadAhead);
        let mut buffer = vec![0; PIECE];
        while self.written < size {
            let wanted = usize::try_from(size.saturating_sub(self.written)).unwrap_or(PIECE).min(PIECE);
            let (piece, _) = buffer.split_at_mut(wanted);
            let read = artifact.file().read_at(piece, self.written);
            read.map_err(FlashError::io("read the file to be staged"))?;
            self.append(piece)?;
            progress(self.written, Some(size));
        }
        if self.written > self.record.written {
            let flash = Arc::clone(&self.flash);
            let lease = flash.slot(&self.slot.name)?.lease();
            self.current(lease.generation)?;
            self.flush()?;
        }
        Ok(self.written)
    }

    /// Reads the image back, compares it with the digest and marks the slot as holding this version.
    ///
    /// Durable when it returns; sealing a sealed slot again is well. On a mismatch the slot counts as empty.
    pub fn seal(&mut self, version: &str) -> Result<(), FlashError> {
        if version.len() > VERSION_LIMIT {
            let text = format!(
                "the version {version:.40?}… has {} bytes, the limit is {VERSION_LIMIT}",
                version.len()
            );
            return Err(FlashError::NotSealed(text));
        }
        self.agrees(version)?;
        let flash = Arc::clone(&self.flash);
        let name = self.slot.name.clone();
        if self.record.sealed.as_deref() != Some(version) {
            if self.written == 0 {
                return Err(FlashError::NotSealed(format!("nothing was written to slot {name:?}")));
            }
            if self.record.sealed.is_none() {
                let lease = flash.slot(&name)?.lease();
                self.current(lease.generation)?;
                self.flush()?;
                drop(lease);
                let actual = self.read_back()?;
                self.compare(actual)?;
                let settled = self.slot.settle(self.volume.as_ref(), self.written);
                settled.map_err(FlashError::io(format!("unpack the image in slot {name:?}")))?;
            }
            let lease = flash.slot(&name)?.lease();
            self.current(lease.generation)?;
            let sealed = SlotRecord { sealed: Some(version.to_owned()), ..self.record.clone() };
            flash.records.write(&name, &sealed)?;
            self.record = sealed;
        }
        Ok(())
    }

    /// Whether the version to seal with is the signed one, or none but a short form of the digest.
    fn agrees(&self, version: &str) -> Result<(), FlashError> {
        let Assurance::Signed(SignedImage { target, version: Some(signed), .. }) = &self.assurance else {
            return Ok(());
        };
        let digest = self.record.digest.to_string();
        let of_digest = digest.starts_with(version) || self.record.digest.hex().starts_with(version);
        if version == signed || (of_digest && version.len() >= 8) {
            return Ok(());
        }
        Err(FlashError::Untrusted(format!(
            "the job says version {version:?} for the target `{target}`, signed is {signed:?}; the two must agree"
        )))
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
    fn current(&self, generation: u64) -> Result<(), FlashError> {
        if generation == self.generation {
            return Ok(());
        }
        let text = format!("slot {:?} was staged anew or let go of; open it again", self.slot.name);
        Err(FlashError::Busy(text))
    }

    /// Makes what is written durable, and then says so. In this order. The lease is held by the caller.
    fn flush(&mut self) -> Result<(), FlashError> {
        if let Err(error) = self.volume.sync() {
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

    /// The digest of what is on the disk, asked behind the kernel's cache as far as that can be.
    fn read_back(&self) -> Result<Digest, FlashError> {
        self.volume.hint(Hint::Forget);
        self.volume.hint(Hint::ReadAhead);
        let mut hasher = Hasher::new(self.record.digest.algorithm);
        let read = hasher.update_from(self.volume.as_ref(), self.written);
        read.map_err(FlashError::io(format!("read slot {:?} back", self.slot.name)))?;
        self.volume.hint(Hint::Forget);
        Ok(hasher.finish())
    }

    fn compare(&mut self, actual: Digest) -> Result<(), FlashError> {
        let expected = self.record.digest.clone();
        if actual == expected {
            return Ok(());
        }
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        flash.records.remove(&self.slot.name)?;
        (self.written, self.handed_over, self.record.written) = (0, 0, 0);
        Err(FlashError::DigestMismatch { expected, actual })
    }
}
