//! An image in chunks: which there are, which are missing, and whether one is right.
//!
//! An image is cut into chunks of 64 KiB, the last one shorter. That is the unit in which it is verified, written,
//! remembered and fetched again: small enough that a corrupt byte or a power cut costs next to nothing, large enough
//! that the hashes of all chunks are a thousandth of the image.
//!
//! [`Runs`] is a set of chunks as a device's journal keeps it, [`Tree`] the hashes that the signed root vouches for.
//! Nothing here reads or writes anything.

mod runs;
mod tree;

use std::ops::Range;

pub use runs::Runs;
pub use tree::{Tree, TreeError, outboard_length};

/// Bytes of a chunk; the last one of an image may be shorter.
pub const CHUNK: u64 = 64 * 1024;

/// Chunks of an image of this many bytes. An empty image has none.
pub fn chunks(length: u64) -> u64 {
    length.div_ceil(CHUNK)
}

/// Where these chunks stand in an image of `length` bytes.
pub fn bytes_of(chunks: &Range<u64>, length: u64) -> Range<u64> {
    chunks.start.saturating_mul(CHUNK).min(length)..chunks.end.saturating_mul(CHUNK).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_shorter() {
        assert_eq!([0, 1, CHUNK, CHUNK + 1].map(chunks), [0, 1, 1, 2]);
        assert_eq!(bytes_of(&(0..2), CHUNK + 1), 0..CHUNK + 1);
        assert_eq!(bytes_of(&(1..2), CHUNK + 1), CHUNK..CHUNK + 1);
        assert_eq!(bytes_of(&(7..u64::MAX), CHUNK + 1), CHUNK + 1..CHUNK + 1);
    }
}
