//! One reading of a file: its digests, and the hash tree by which an image is checked piece by piece.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bao_tree::{
    BaoTree, BlockSize,
    io::{outboard::PreOrderMemOutboard, sync},
};
use hotshoe_core::digest::{Algorithm, Digest};
use sha2::{Digest as _, Sha256};
use tough::schema::{Hashes, Target};

use crate::{
    failure::{Exit, Failure},
    output::Bar,
};

/// 64 KiB a leaf: 2^6 chunks of BLAKE3, of 1 KiB each.
const GROUPS: BlockSize = BlockSize::from_chunk_log(6);

/// What a file holds.
pub(super) struct Reading {
    /// Length and SHA-256 as TUF has them.
    pub(super) target: Target,
    /// The root of the hash tree.
    pub(super) blake3: Digest,
    /// The hash tree, in pre-order and without a length.
    pub(super) outboard: Vec<u8>,
}

/// Reads a file from its beginning to its end.
pub(super) fn read(file: &Path, bar: &Bar) -> Result<Reading, Failure> {
    reading(file, bar).map_err(|error| {
        let changed = error.kind() == io::ErrorKind::UnexpectedEof;
        let failure = Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()));
        if changed { failure.hint("it changed while it was read; add it when it is whole") } else { failure }
    })
}

fn reading(file: &Path, bar: &Bar) -> io::Result<Reading> {
    let opened = File::open(file)?;
    let length = opened.metadata()?.len();
    let tree = BaoTree::new(length, GROUPS);
    let size = usize::try_from(tree.outboard_size()).map_err(io::Error::other)?;
    let mut outboard = PreOrderMemOutboard { root: [0; 32].into(), tree, data: vec![0; size] };
    let mut hashed = Hashed { file: opened, sha256: Sha256::new(), bar };
    let root = sync::outboard(&mut hashed, tree, &mut outboard)?;
    if hashed.file.read(&mut [0])? > 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is longer than it was"));
    }
    let hashes = Hashes { sha256: hashed.sha256.finalize().to_vec().into(), _extra: Default::default() };
    Ok(Reading {
        target: Target { length, hashes, custom: Default::default(), _extra: Default::default() },
        blake3: Digest { algorithm: Algorithm::Blake3, bytes: *root.as_bytes() },
        outboard: outboard.data,
    })
}

/// The SHA-256 of what is read, beside it.
struct Hashed<'a> {
    file: File,
    sha256: Sha256,
    bar: &'a Bar,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.sha256.update(buffer.get(..count).unwrap_or_default());
        self.bar.done(count);
        Ok(count)
    }
}
