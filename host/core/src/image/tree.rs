//! The hashes of an image's chunks, as far as a BLAKE3 root vouches for them.
//!
//! They come as a Bao outboard: the pairs of hashes of all inner nodes in pre-order, 64 bytes each, for chunk groups of
//! 64 KiB, without a length in front. It needs no signature: from the root down each pair must hash to what stands in
//! the pair above it, and one byte that is wrong is noticed before any of it is used. The hashes themselves are
//! `blake3`'s; here is only the shape of the tree.

use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{CHUNK, chunks};
use crate::planted::{self, Bug};

/// Bytes of one pair of hashes.
const PAIR: usize = 64;

/// Bytes of the outboard of an image of this length.
pub fn outboard_length(length: u64) -> u64 {
    chunks(length).saturating_sub(1).saturating_mul(PAIR as u64)
}

/// Why an outboard is not that of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It has another size than an image of this length needs.
    #[error("the outboard has {actual} bytes, an image of that length needs {expected}")]
    Length {
        /// Bytes needed.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// Its hashes do not lead to the root.
    #[error("the outboard does not belong to the image: its hashes do not lead to the signed root")]
    Root,
}

/// The hash of every chunk of one image. 32 bytes a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    length: u64,
    leaves: Vec<ChainingValue>,
}

impl Tree {
    /// Checks an outboard against the root and keeps the chunks' hashes.
    ///
    /// # Errors
    /// See [`TreeError`]; whatever the bytes are.
    pub fn from_outboard(root: &[u8; 32], length: u64, outboard: &[u8]) -> Result<Self, TreeError> {
        let expected = outboard_length(length);
        if outboard.len() as u64 != expected {
            return Err(TreeError::Length { expected, actual: outboard.len() as u64 });
        }
        let count = chunks(length);
        let mut tree = Self { length, leaves: Vec::with_capacity(outboard.len() / PAIR + 1) };
        match count {
            0 if *root != *blake3::hash(&[]).as_bytes() => return Err(TreeError::Root),
            0 => {}
            1 => tree.leaves.push(*root),
            _ => tree.descend(root, count, &mut outboard.chunks_exact(PAIR), true)?,
        }
        Ok(tree)
    }

    /// Reads the pairs of a subtree of `count` chunks that must hash to `wanted`. As deep as the tree is high.
    fn descend<'a>(
        &mut self,
        wanted: &ChainingValue,
        count: u64,
        pairs: &mut impl Iterator<Item = &'a [u8]>,
        root: bool,
    ) -> Result<(), TreeError> {
        if count == 1 {
            self.leaves.push(*wanted);
            return Ok(());
        }
        let (left, right) = pairs.next().and_then(pair).ok_or(TreeError::Root)?;
        let actual = match root {
            true => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes(),
            false => merge_subtrees_non_root(&left, &right, Mode::Hash),
        };
        if actual != *wanted && !planted::on(Bug::TreeUnchecked) {
            return Err(TreeError::Root);
        }
        // The left one is the largest whole tree that leaves something to the right.
        let half = count.next_power_of_two() / 2;
        self.descend(&left, half, pairs, false)?;
        self.descend(&right, count.saturating_sub(half), pairs, false)
    }

    /// Bytes of the image.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether these bytes are that chunk. A chunk that the image does not have is nothing.
    pub fn verifies(&self, chunk: u64, bytes: &[u8]) -> bool {
        let offset = chunk.saturating_mul(CHUNK);
        let wanted = CHUNK.min(self.length.saturating_sub(offset));
        if bytes.is_empty() || bytes.len() as u64 != wanted {
            return false;
        }
        let mut hasher = blake3::Hasher::new();
        let actual = match self.leaves.len() {
            1 => *hasher.update(bytes).finalize().as_bytes(),
            _ => hasher.set_input_offset(offset).update(bytes).finalize_non_root(),
        };
        self.leaf(chunk) == Some(&actual)
    }

    /// Whether a chunk of another image has the same bytes, by their hashes alone.
    pub fn shares(&self, chunk: u64, other: &Tree) -> bool {
        // The only chunk of an image is hashed as its root, which is another function.
        let alike = (self.leaves.len() == 1) == (other.leaves.len() == 1);
        alike && self.leaf(chunk).is_some_and(|leaf| other.leaf(chunk) == Some(leaf))
    }

    fn leaf(&self, chunk: u64) -> Option<&ChainingValue> {
        self.leaves.get(usize::try_from(chunk).ok()?)
    }
}

fn pair(bytes: &[u8]) -> Option<(ChainingValue, ChainingValue)> {
    let (left, right) = bytes.split_at_checked(PAIR / 2)?;
    Some((left.try_into().ok()?, right.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outboard by its definition: pairs from the root down, left before right.
    fn outboard(bytes: &[u8], offset: u64, out: &mut Vec<u8>) -> ChainingValue {
        let count = chunks(bytes.len() as u64);
        if count <= 1 {
            return blake3::Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root();
        }
        let (left, right) = bytes.split_at((count.next_power_of_two() / 2 * CHUNK) as usize);
        let at = out.len();
        out.resize(at + PAIR, 0);
        let hashes = [outboard(left, offset, out), outboard(right, offset + left.len() as u64, out)].concat();
        out[at..at + PAIR].copy_from_slice(&hashes);
        let (left, right) = pair(&hashes).unwrap();
        merge_subtrees_non_root(&left, &right, Mode::Hash)
    }

    fn image(length: u64) -> Vec<u8> {
        (0..length).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    }

    #[test]
    fn every_chunk_of_images_of_every_shape_is_verified() {
        let lengths =
            [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 7, 7 * CHUNK + 1, 16 * CHUNK];
        for length in lengths {
            let bytes = image(length);
            let mut pairs = Vec::new();
            if length > CHUNK {
                outboard(&bytes, 0, &mut pairs);
            }
            let root = *blake3::hash(&bytes).as_bytes();
            assert_eq!(pairs.len() as u64, outboard_length(length));
            let tree = Tree::from_outboard(&root, length, &pairs).unwrap();
            for (index, chunk) in bytes.chunks(CHUNK as usize).enumerate() {
                let index = index as u64;
                assert!(tree.verifies(index, chunk) && tree.shares(index, &tree), "{length}: {index}");
                assert!(!tree.verifies(index + 1, chunk), "{length}: {index} elsewhere");
                let mut wrong = chunk.to_vec();
                wrong[chunk.len() / 2] ^= 1;
                assert!(!tree.verifies(index, &wrong) && !tree.verifies(index, &chunk[1..]));
            }
            assert!(!tree.verifies(chunks(length), &[]) && !tree.verifies(u64::MAX, b"x"));
            for at in (0..pairs.len()).step_by(31) {
                let mut wrong = pairs.clone();
                wrong[at] ^= 1;
                assert_eq!(
                    Tree::from_outboard(&root, length, &wrong),
                    Err(TreeError::Root),
                    "{length}: {at}"
                );
            }
            for wrong in [&pairs[pairs.len().min(1)..], &[&pairs[..], b"x"].concat()[..]] {
                let read = Tree::from_outboard(&root, length, wrong);
                assert!(wrong.len() == pairs.len() || matches!(read, Err(TreeError::Length { .. })));
            }
            assert!(
                length == CHUNK || Tree::from_outboard(&[7; 32], length, &pairs).is_err() || length <= CHUNK
            );
        }
    }
}
