//! Images, and what becomes of a device that boots them.

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
    /// The host starts, and finds that something that it needs is broken.
    FailsItsTest,
}

/// An image, on the server and perhaps in a slot.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it calls itself.
    pub version: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// What vouches for it: the root of the hashes of its chunks.
    pub digest: Digest,
    /// The hashes of its chunks.
    pub outboard: Vec<u8>,
    /// What becomes of a device that boots it.
    pub character: Character,
    /// The server gives out other bytes than were vouched for.
    pub corrupt: bool,
}

impl Image {
    /// An image of so many bytes.
    pub fn new(version: &str, length: usize, character: Character) -> Image {
        let mut random = Random::of(version);
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| random.bits().to_le_bytes()).flatten().take(length).collect();
        // No two sectors are alike, and none is of zeros.
        bytes.iter_mut().step_by(512).for_each(|byte| *byte |= 1);
        Image::of(version, bytes, character)
    }

    fn of(version: &str, bytes: Vec<u8>, character: Character) -> Image {
        let tree = PreOrderMemOutboard::create(&bytes, BlockSize::from_chunk_log(6));
        let digest = Digest { algorithm: Algorithm::Blake3, bytes: *tree.root.as_bytes() };
        Image { version: version.to_owned(), bytes, digest, outboard: tree.data, character, corrupt: false }
    }

    /// Another version, with one other byte.
    pub fn changed(mut self, version: &str, at: usize) -> Image {
        self.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x42);
        Image::of(version, self.bytes, self.character)
    }

    /// The same, from a server that gives out something else.
    pub fn corrupt(self) -> Image {
        Image { corrupt: true, ..self }
    }

    /// What the server gives out of it, from here on.
    pub fn served(&self, from: usize, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.bytes.iter().skip(from).take(length).copied().collect();
        let middle = self.bytes.len() / 2;
        if let Some(byte) = middle.checked_sub(from).and_then(|at| bytes.get_mut(at)).filter(|_| self.corrupt)
        {
            *byte ^= 0x10;
        }
        bytes
    }
}
