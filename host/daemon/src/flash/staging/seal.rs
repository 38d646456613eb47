//! The end of a staging: read back, compared, and said so.

use std::sync::Arc;

use hotshoe_core::{
    digest::Digest,
    image::{CHUNK, Runs, Tree, bytes_of},
    planted::{self, Bug},
};

use super::{Staging, chunks};
use crate::{
    artifact::hash::Hasher,
    disk::{Buffer, Hint},
    flash::{Assurance, FlashError, SignedImage, proof::FRESH, record::SlotRecord},
};

/// Longest version in bytes.
const VERSION_LIMIT: usize = 128;

/// Chunks that are read back at a time.
const PIECE: u64 = 8;

impl Staging {
    /// Reads the image back, compares it with what vouches for it and marks the slot as holding this version.
    ///
    /// What was read back within the last minute, since it was last made durable, is not read again. Durable when it
    /// returns. Sealing a sealed slot again reads it again, unless it runs or may boot as it is. Where the digest of the
    /// whole is wrong the slot counts as empty; where chunks are, only they do.
    pub fn seal(&mut self, version: &str) -> Result<(), FlashError> {
        if version.len() > VERSION_LIMIT {
            let text = format!(
                "the version {version:.40?}… has {} bytes, the limit is {VERSION_LIMIT}",
                version.len()
            );
            return Err(FlashError::NotSealed(text));
        }
        self.agrees(version)?;
        let doubtful = match &self.record.sealed {
            None if self.written() == 0 => {
                let text = format!("nothing was written to slot {:?}", self.slot.name);
                return Err(FlashError::NotSealed(text));
            }
            None => {
                if !planted::on(Bug::SealUnsynced) {
                    self.flush_all()?;
                }
                true
            }
            Some(_) => self.flash.is_doubtful(self.flash.slot(&self.slot.name)?)?,
        };
        if doubtful {
            if !planted::on(Bug::SealUnread) {
                self.proven()?;
            }
            self.settle()?;
        }
        if self.record.sealed.as_deref() != Some(version) {
            let sealed = SlotRecord { sealed: Some(version.to_owned()), ..self.record.clone() };
            if planted::on(Bug::SealBeforeRecord) {
                self.record = sealed;
                return Ok(());
            }
            self.keep(sealed)?;
        }
        if doubtful { self.proved() } else { Ok(()) }
    }

    /// What is left to do with an image that was verified.
    fn settle(&mut self) -> Result<(), FlashError> {
        if self.slot.is_unpacked() && self.record.sealed.is_some() {
            // What was unpacked before goes first.
            self.keep(SlotRecord { sealed: None, ..self.record.clone() })?;
        }
        let settled = self.slot.settle(self.volume.as_ref(), self.written());
        settled.map_err(self.cannot("unpack the image in"))
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

    fn flush_all(&mut self) -> Result<(), FlashError> {
        if self.chunks.is_none() {
            let flash = Arc::clone(&self.flash);
            let lease = flash.slot(&self.slot.name)?.lease();
            self.current(lease.generation)?;
            return self.flush();
        }
        let Some(unsynced) = self.unsynced() else { return Ok(()) };
        match unsynced.sync() {
            Ok(()) => self.synced(unsynced),
            Err(error) => Err(self.sync_failed(error)),
        }
    }

    /// Whether all of the image is there and right.
    fn proven(&mut self) -> Result<(), FlashError> {
        let Some(chunks) = &self.chunks else { return self.whole(self.written) };
        let missing = self.missing().count();
        let Some(length) = chunks.length.filter(|_| missing == 0) else {
            let text = format!("{missing} chunks of the image are missing in slot {:?}", self.slot.name);
            return Err(FlashError::NotSealed(text));
        };
        let Some(tree) = chunks.tree.clone() else { return self.whole(length) };
        let mut unproven = chunks.there.clone();
        if chunks.since.is_some_and(|since| since.elapsed() < FRESH) {
            unproven.subtract(&chunks.verified);
        }
        let wrong = self.reader().wrong(&tree, &unproven).map_err(self.cannot("read back"))?;
        if wrong.is_empty() || planted::on(Bug::SealMismatch) {
            return Ok(());
        }
        self.forget(&wrong)?;
        Err(FlashError::Io {
            action: format!("read slot {:?} back as it was written", self.slot.name),
            text: format!("{} chunks are not what was written; receive them again", wrong.count()),
        })
    }

    /// Compares the digest of the first `length` bytes, asked past the kernel's cache as far as that can be.
    fn whole(&mut self, length: u64) -> Result<(), FlashError> {
        self.volume.hint(Hint::Forget);
        self.volume.hint(Hint::ReadAhead);
        let mut hasher = Hasher::new(self.record.digest.algorithm);
        hasher.update_from(self.volume.as_ref(), length).map_err(self.cannot("read back"))?;
        self.volume.hint(Hint::Forget);
        self.compare(hasher.finish())
    }

    fn compare(&mut self, actual: Digest) -> Result<(), FlashError> {
        let expected = self.record.digest.clone();
        if actual == expected || planted::on(Bug::SealMismatch) {
            return Ok(());
        }
        let flash = Arc::clone(&self.flash);
        let lease = flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        self.gives_way(None)?;
        flash.records.remove(&self.slot.name)?;
        self.record = SlotRecord::opened(expected.clone(), self.record.signed.clone());
        (self.written, self.handed_over, self.chunks) = (0, 0, None);
        Err(FlashError::DigestMismatch { expected, actual })
    }
}

impl chunks::Reader {
    /// Which of these chunks are not what the tree says, as they stand on the disk.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn wrong(&self, tree: &Tree, runs: &Runs) -> std::io::Result<Runs> {
        let mut wrong = Runs::new();
        let room = usize::try_from(PIECE.saturating_mul(CHUNK)).unwrap_or_default();
        let mut buffer = Buffer::new(room);
        self.forget_cached();
        for run in runs.iter() {
            let mut next = run.start;
            while next < run.end {
                let piece = next..run.end.min(next.saturating_add(PIECE));
                next = piece.end;
                let bytes = bytes_of(&piece, tree.length());
                let wanted = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or_default();
                let (read, _) = buffer.split_at_mut(wanted.min(room));
                self.read(read, bytes.start)?;
                let read = read.chunks(usize::try_from(CHUNK).unwrap_or(usize::MAX));
                for (chunk, bytes) in piece.zip(read) {
                    if !tree.verifies(chunk, bytes) {
                        wrong.insert(chunk..chunk.saturating_add(1));
                    }
                }
            }
        }
        Ok(wrong)
    }
}
