//! Images, and what becomes of a device that boots them.

use std::sync::Arc;

use bao_tree::{BlockSize, io::outboard::PreOrderMemOutboard};
use hotshoe_core::digest::{Algorithm, Digest};

use crate::random::Random;

/// What becomes of a device that boots an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Character {
    /// It runs.
    Good,
    /// It hangs before the host starts, and the watchdog resets it.
    NeverBoots,
    /// The host dies soon after each start.
    KillsItsHost,
    /// The host starts, and finds that something that it needs is broken.
    FailsItsTest,
}

/// An image: on the server, and perhaps in a slot or in the parts of a group.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it calls itself.
    pub version: String,
    /// What is in it: one piece for a plain slot, one for each part of a group, in order.
    pub pieces: Vec<Piece>,
    /// What becomes of a device that boots it.
    pub character: Character,
    /// The server gives out other bytes than were vouched for.
    pub corrupt: bool,
    /// The server ends for good after so many bytes.
    pub ends: Option<usize>,
}

/// What goes into one slot.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// What vouches for them: the root of the hashes of their chunks.
    pub digest: Digest,
    /// The hashes of the chunks.
    pub outboard: Arc<[u8]>,
}

impl Piece {
    fn of(bytes: Vec<u8>) -> Piece {
        let tree = PreOrderMemOutboard::create(&bytes, BlockSize::from_chunk_log(6));
        let digest = Digest { algorithm: Algorithm::Blake3, bytes: *tree.root.as_bytes() };
        Piece { bytes: bytes.into(), digest, outboard: tree.data.into() }
    }

    /// Bytes that look like no others.
    fn random(name: &str, length: usize) -> Piece {
        let mut random = Random::of(name);
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| random.bits().to_le_bytes()).flatten().take(length).collect();
        // No two sectors are alike, and none is of zeros.
        bytes.iter_mut().step_by(512).for_each(|byte| *byte |= 1);
        Piece::of(bytes)
    }

    /// The same with other bytes from here on, as many as are given, and what vouches for that.
    fn with(&self, at: usize, change: u8) -> Piece {
        let mut bytes = self.bytes.to_vec();
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change);
        Piece::of(bytes)
    }

    /// The same as a wrong server has it: with a wrong byte in the middle, and hashes that fit it.
    pub fn forged(&self) -> Piece {
        self.with(self.bytes.len() / 2, WRONG)
    }

    /// The piece as zstd frames of 1 MiB: blocks as they are, which need no compressor.
    pub fn frames(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        for frame in self.bytes.chunks(FRAME) {
            // A window of 1 MiB, no size, no checksum.
            frames.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3]);
            let last = frame.chunks(BLOCK).count();
            for (number, block) in frame.chunks(BLOCK).enumerate() {
                let header = block.len() << 3 | usize::from(number + 1 == last);
                frames.extend(header.to_le_bytes().iter().take(3));
                frames.extend(block);
            }
        }
        frames
    }
}

/// What a wrong byte is wrong by.
const WRONG: u8 = 0x10;
/// Bytes of the image in a zstd frame.
const FRAME: usize = 1024 * 1024;
/// Bytes in a block of one.
const BLOCK: usize = 128 * 1024;

impl Image {
    /// An image of so many bytes.
    pub fn new(version: &str, length: usize, character: Character) -> Image {
        Image::of(version, vec![Piece::random(version, length)], character)
    }

    /// An image of several parts.
    pub fn parts(version: &str, lengths: &[usize]) -> Image {
        let piece =
            |(number, length): (usize, &usize)| Piece::random(&format!("{version}, part {number}"), *length);
        Image::of(version, lengths.iter().enumerate().map(piece).collect(), Character::Good)
    }

    fn of(version: &str, pieces: Vec<Piece>, character: Character) -> Image {
        Image { version: version.to_owned(), pieces, character, corrupt: false, ends: None }
    }

    /// Another version, with one other byte in its first piece.
    pub fn changed(&self, version: &str, at: usize) -> Image {
        let mut pieces = self.pieces.clone();
        pieces.iter_mut().take(1).for_each(|piece| *piece = piece.with(at, 0x42));
        Image::of(version, pieces, self.character)
    }

    /// The same, from a server that gives out something else.
    pub fn corrupt(self) -> Image {
        Image { corrupt: true, ..self }
    }

    /// The same, from a server that has only so many bytes of it.
    pub fn ending(self, after: usize) -> Image {
        Image { ends: Some(after), ..self }
    }

    /// Whether this is what such a file holds, part by part.
    pub fn is_in<'a>(&self, mut contents: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        self.pieces
            .iter()
            .all(|piece| contents.next().flatten().is_some_and(|content| content.starts_with(&piece.bytes)))
    }

    /// What the server gives out of a piece, from here on.
    pub fn served(&self, piece: &Piece, from: usize, length: usize) -> Vec<u8> {
        let until = self.ends.unwrap_or(usize::MAX).min(from.saturating_add(length)).min(piece.bytes.len());
        let mut bytes = piece.bytes.get(from..until).unwrap_or_default().to_vec();
        let middle = piece.bytes.len() / 2;
        if let Some(byte) = middle.checked_sub(from).and_then(|at| bytes.get_mut(at)).filter(|_| self.corrupt)
        {
            *byte ^= WRONG;
        }
        bytes
    }
}
