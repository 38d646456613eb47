//! A hold on a whole file: as long as one exists, the file stays.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use hotshoe_core::digest::Digest;

use super::Vouched;

/// A whole, verified file in the store. Cheap to clone; every clone holds the file.
#[derive(Clone, Debug)]
pub struct Artifact {
    held: Arc<Held>,
    vouched: Vouched,
}

#[derive(Debug)]
pub(super) struct Held {
    digest: Digest,
    size: u64,
    origin: String,
    file: File,
}

impl Held {
    pub(super) fn new(digest: Digest, size: u64, origin: String, file: File) -> Self {
        Self { digest, size, origin, file }
    }
}

impl Artifact {
    pub(super) fn new(held: Arc<Held>, vouched: Vouched) -> Self {
        Self { held, vouched }
    }

    /// The same file, vouched for by somebody else.
    pub(crate) fn vouched_by(self, vouched: Vouched) -> Self {
        Self { vouched, ..self }
    }

    /// The digest it was verified against, or its SHA-256 where none was asked for.
    pub fn digest(&self) -> &Digest {
        &self.held.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.held.size
    }

    /// The URL it came from, after redirects.
    pub fn origin(&self) -> &str {
        &self.held.origin
    }

    /// Who says that these are the right bytes.
    pub fn vouched(&self) -> Vouched {
        self.vouched
    }

    /// At most `length` bytes from `offset`; fewer at the end, none behind it. Blocks on the disk.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        self.held.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The open file, for copying it within the host. Its position is shared: read at offsets.
    pub fn file(&self) -> &File {
        &self.held.file
    }
}
