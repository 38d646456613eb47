//! A file on its way into the store: written and hashed in one go, resumable, and a whole file in the end.
//!
//! Only bytes that were flushed before the journal said so are trusted when it is opened again; the rest is cut
//! off, and the hash is computed over what stays. Bytes of two versions of a file are never joined on purpose:
//! [`Partial::begin`] with another [`Origin`] starts from nothing. If a server lies about that, the digest tells.

use std::{fs::File, os::unix::fs::FileExt};

use cap_std::fs::OpenOptions;
use hotshoe_core::digest::{Algorithm, Digest};

use super::{
    Artifact, ArtifactError, ArtifactStore, Key, Origin, Record, Vouched,
    flusher::{Flusher, flush},
    hash::Hasher,
    journal::Journal,
};
use crate::disk;

/// How many bytes are written between two flushes, if the disk keeps up: what a power cut costs at least.
pub(super) const FLUSH_STEP: u64 = 8 * 1024 * 1024;

/// How much room is set aside at a time while the size is not known.
const ROOM_STEP: u64 = 8 * 1024 * 1024;

/// A file on its way. One at a time per key; dropping it keeps what is durable.
#[derive(Debug)]
pub struct Partial {
    file: File,
    digest: Option<Digest>,
    hasher: Hasher,
    position: u64,
    origin: Option<Origin>,
    flushed: u64,
    flusher: Option<Flusher>,
    claim: Claim,
}

/// The right to write to the file of a key; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    store: ArtifactStore,
    name: String,
}

impl Claim {
    pub(super) fn new(store: ArtifactStore, name: &str) -> Self {
        Self { store, name: name.to_owned() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.0.books().busy.remove(&self.name);
        self.store.0.released.notify_waiters();
    }
}

impl Partial {
    pub(super) fn open(claim: Claim, key: &Key) -> Result<Self, ArtifactError> {
        let store = &claim.store.0;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = store
            .partial
            .open_with(&claim.name, &options)
            .map_err(ArtifactError::io("open a partial file"))?;
        let algorithm = key.digest().map_or(Algorithm::Sha256, |digest| digest.algorithm);
        let mut partial = Self {
            file: file.into_std(),
            digest: key.digest().cloned(),
            hasher: Hasher::new(algorithm),
            position: 0,
            origin: None,
            flushed: 0,
            flusher: None,
            claim,
        };
        let journal = partial.claim.store.0.journal.read::<Journal>(&partial.claim.name)?;
        let length = partial.file.metadata().map_err(ArtifactError::io("look at a partial file"))?.len();
        match journal {
            Some(journal) if journal.digest == partial.digest && journal.durable <= length => {
                partial.truncate(journal.durable)?;
                let read = partial.hasher.update_from(&partial.file, journal.durable);
                read.map_err(ArtifactError::io("read a partial file"))?;
                partial.position = journal.durable;
                partial.origin = Some(journal.origin);
            }
            // Nothing was noted, or the journal tells of bytes that are not there: nothing can be trusted.
            _ => partial.truncate(0)?,
        }
        Ok(partial)
    }

    /// Bytes written and hashed so far: where the next ones go.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of disk that are still to be had for a file of this size.
    pub fn missing(&self, total: u64) -> u64 {
        total.saturating_sub(self.position.max(disk::allocated(&self.file)))
    }

    /// What the bytes so far belong to; `None` if there are none yet.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref().filter(|_| self.position > 0)
    }

    /// Says which answer the bytes to come belong to. From `position()` on if `resumes`, else from nothing.
    ///
    /// Sets room aside for all of it: with an origin that tells its size, a full disk shows here.
    pub fn begin(&mut self, origin: Origin, resumes: bool) -> Result<(), ArtifactError> {
        if resumes {
            self.pause()?;
        } else {
            self.restart()?;
        }
        match origin.total {
            Some(total) => {
                self.reserve(total)?;
                let file = &self.file;
                let missing = self.missing(total);
                self.claim.store.retry_with_room(missing, || disk::preallocate(file, total))?;
            }
            None => self.reserve_ahead(self.position)?,
        }
        let durable = self.position.min(self.flushed);
        let journal = Journal { origin: origin.clone(), digest: self.digest.clone(), durable };
        let state = &self.claim.store.0.journal;
        if !resumes || self.origin.as_ref() != Some(&origin) {
            state.write(&self.claim.name, &journal)?;
        }
        self.flusher = Some(Flusher::start(&self.file, state.clone(), &self.claim.name, journal)?);
        self.origin = Some(origin);
        Ok(())
    }

    /// Writes and hashes bytes. Blocks on the disk; never on a flush.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        let end = self.position.saturating_add(bytes.len() as u64);
        if self.origin.as_ref().is_none_or(|origin| origin.total.is_none_or(|total| end > total)) {
            self.reserve_ahead(end)?;
        }
        let (file, position) = (&self.file, self.position);
        let missing = end.saturating_sub(disk::allocated(file)).min(bytes.len() as u64);
        self.claim.store.retry_with_room(missing, || file.write_all_at(bytes, position))?;
        self.hasher.update(bytes);
        self.position = end;
        if end.saturating_sub(self.flushed) >= FLUSH_STEP {
            self.flushed = end;
            if let Some(flusher) = &self.flusher {
                flusher.request(end);
            }
        }
        Ok(())
    }

    /// Makes all that was written durable: after this even a power cut loses nothing of it.
    pub fn pause(&mut self) -> Result<(), ArtifactError> {
        if self.flusher.is_none() {
            return Ok(());
        }
        self.stop_flusher()?;
        let Some(origin) = self.origin.clone() else { return Ok(()) };
        let mut journal = Journal { origin, digest: self.digest.clone(), durable: 0 };
        let state = &self.claim.store.0.journal;
        let flushed = flush(&self.file, state, &self.claim.name, &mut journal, self.position);
        self.trust_nothing_after(flushed)?;
        self.flushed = self.position;
        self.claim.store.0.books().partial.insert(self.claim.name.clone(), self.position);
        Ok(())
    }

    /// Throws all bytes away; the next ones are the first.
    pub fn restart(&mut self) -> Result<(), ArtifactError> {
        self.stop_flusher()?;
        // The journal first: it must never tell of bytes that are gone.
        self.claim.store.0.journal.remove(&self.claim.name)?;
        self.truncate(0)?;
        let algorithm = self.digest.as_ref().map_or(Algorithm::Sha256, |digest| digest.algorithm);
        (self.hasher, self.position, self.flushed, self.origin) = (Hasher::new(algorithm), 0, 0, None);
        Ok(())
    }

    /// Throws the file away.
    pub fn discard(mut self) -> Result<(), ArtifactError> {
        self.restart()?;
        let store = &self.claim.store.0;
        store.books().partial.remove(&self.claim.name);
        store.partial.remove_file(&self.claim.name).map_err(ArtifactError::io("remove a partial file"))
    }

    /// Compares the digest, makes the file durable and gives it its name. On a mismatch the bytes are gone.
    ///
    /// `origin` is the URL the bytes came from in the end.
    pub fn finish(mut self, origin: &str, vouched: Vouched) -> Result<Artifact, ArtifactError> {
        self.stop_flusher()?;
        let algorithm = self.digest.as_ref().map_or(Algorithm::Sha256, |digest| digest.algorithm);
        let actual = std::mem::replace(&mut self.hasher, Hasher::new(algorithm)).finish();
        if let Some(expected) = self.digest.clone().filter(|expected| *expected != actual) {
            self.discard()?;
            return Err(ArtifactError::Digest { expected, actual });
        }
        let source = self.origin.clone();
        let record = Record { digest: actual.clone(), origin: origin.to_owned(), vouched, source };
        let store = self.claim.store.clone();
        if store.refresh(&record)? {
            self.discard()?;
        } else {
            self.truncate(self.position)?;
            let flushed = self.file.sync_all().map_err(ArtifactError::io("flush a whole file"));
            self.trust_nothing_after(flushed)?;
            store.adopt(&self.claim.name, self.position, record)?;
        }
        let missing = || ArtifactError::io("find a file just written")(std::io::ErrorKind::NotFound.into());
        Ok(store.find(&actual)?.ok_or_else(missing)?.vouched_by(vouched))
    }

    fn truncate(&mut self, length: u64) -> Result<(), ArtifactError> {
        self.flushed = length;
        self.file.set_len(length).map_err(ArtifactError::io("truncate a partial file"))
    }

    fn reserve(&self, bytes: u64) -> Result<(), ArtifactError> {
        self.claim.store.reserve(&self.claim.name, bytes)
    }

    fn reserve_ahead(&self, end: u64) -> Result<(), ArtifactError> {
        let reserved = self.claim.store.0.books().partial.get(&self.claim.name).copied().unwrap_or(0);
        // Near the limit a whole step may not fit where the bytes themselves still do.
        if end <= reserved {
            return Ok(());
        }
        self.reserve(end.saturating_add(ROOM_STEP)).or_else(|_| self.reserve(end))
    }

    fn stop_flusher(&mut self) -> Result<(), ArtifactError> {
        let stopped = self.flusher.take().map_or(Ok(()), Flusher::stop);
        self.trust_nothing_after(stopped)
    }

    /// After a failed flush nobody knows what is on the disk: forget the file, then pass the error on.
    fn trust_nothing_after(&mut self, flushed: Result<(), ArtifactError>) -> Result<(), ArtifactError> {
        if flushed.is_err() {
            let _ = self.claim.store.0.journal.remove(&self.claim.name);
            let _ = self.truncate(0);
            let algorithm = self.digest.as_ref().map_or(Algorithm::Sha256, |digest| digest.algorithm);
            (self.hasher, self.position, self.origin) = (Hasher::new(algorithm), 0, None);
        }
        flushed
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(flusher) = self.flusher.take() {
            let _ = flusher.stop();
        }
        // An empty beginning is none. After `finish` the name is gone already.
        if self.position == 0 {
            let store = &self.claim.store.0;
            let _ = store.partial.remove_file(&self.claim.name);
            store.books().partial.remove(&self.claim.name);
        }
    }
}
