//! Changed inputs for the stable compiler: what a fuzzer does, without knowing what it reaches.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Bytes that parsers look for.
const TELLING: &[u8] = b"\0\xff\n\r \"'{}[]:,;=&?/\\$%#.+-*019aAzZ\x80\xc3";

/// The longest input that is made.
pub const LONGEST: usize = 4096;

/// Inputs out of inputs, the same ones for the same seed.
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    random: StdRng,
}

impl<'a> Mutator<'a> {
    /// From these inputs, of which there is one at least.
    pub fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self { corpus, random: StdRng::seed_from_u64(seed) }
    }

    fn any(&mut self) -> &'a [u8] {
        &self.corpus[self.random.random_range(0..self.corpus.len())]
    }

    /// A place in bytes, their end among them.
    fn place(&mut self, bytes: &[u8]) -> usize {
        self.random.random_range(0..=bytes.len())
    }

    /// One more: one of the inputs, changed up to eight times.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.any().to_vec();
        for _ in 0..self.random.random_range(1..=8) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes);
        let telling = TELLING[self.random.random_range(0..TELLING.len())];
        match self.random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, telling),
            2 => bytes.insert(at, self.random.random()),
            3 if at < bytes.len() => bytes[at] ^= 1 << self.random.random_range(0..8),
            4 if at < bytes.len() => bytes[at] = telling,
            5 if at < bytes.len() => {
                let end = self.random.random_range(at..=bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let end = self.random.random_range(at..=bytes.len()).min(at + 64);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = self.any();
                let from = self.place(other);
                let to = self.random.random_range(from..=other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
}
