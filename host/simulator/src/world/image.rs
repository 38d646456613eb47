//! Images, and what becomes of a device that boots them.

use hotshoe_core::digest::{Algorithm, Digest};
use hotshoed::artifact::hash::Hasher;

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
    /// What vouches for it.
    pub digest: Digest,
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
        let mut hasher = Hasher::new(Algorithm::Blake3);
        hasher.update(&bytes);
        Image { version: version.to_owned(), bytes, digest: hasher.finish(), character, corrupt: false }
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
