//! Hashing as bytes come by, in either algorithm.

use std::io;

use hotshoe_core::digest::{Algorithm, Digest};

use crate::disk::Volume;

/// How much is read at once to hash a file: large enough for both algorithms' fast paths.
const CHUNK: usize = 1024 * 1024;

/// A hash under way; boxed, for BLAKE3 has 2 KiB of state. SHA-256 comes from the library that TLS uses already.
pub enum Hasher {
    /// `ring`, which uses the processor's instructions.
    Sha256(Box<ring::digest::Context>),
    /// BLAKE3 on one thread.
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Box::new(ring::digest::Context::new(&ring::digest::SHA256))),
            Algorithm::Blake3 => Self::Blake3(Box::new(blake3::Hasher::new())),
        }
    }

    /// Adds bytes. Give it 16 KiB or more at once: BLAKE3 is half as fast below.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(context) => context.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        match self {
            Self::Sha256(context) => {
                // Both are 32 bytes long; `zip` needs no proof of it.
                bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
                Digest { algorithm: Algorithm::Sha256, bytes }
            }
            Self::Blake3(hasher) => {
                Digest { algorithm: Algorithm::Blake3, bytes: *hasher.finalize().as_bytes() }
            }
        }
    }

    /// Adds the first `length` bytes of a volume, in pieces. An error if it is shorter.
    pub fn update_from(&mut self, volume: &dyn Volume, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        while offset < length {
            let wanted = usize::try_from(length.saturating_sub(offset)).unwrap_or(CHUNK).min(CHUNK);
            let (piece, _) = buffer.split_at_mut(wanted);
            volume.read_at(piece, offset)?;
            self.update(piece);
            offset = offset.saturating_add(wanted as u64);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "Hasher::Sha256",
            Self::Blake3(_) => "Hasher::Blake3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let digest = |algorithm| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            hasher.finish().to_string()
        };
        assert_eq!(
            digest(Algorithm::Sha256),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest(Algorithm::Blake3),
            "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn a_file_in_pieces_hashes_like_its_bytes() {
        let bytes: Vec<u8> = (0..CHUNK * 2 + 17).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let mut streamed = Hasher::new(Algorithm::Sha256);
        streamed.update_from(&file, bytes.len() as u64).unwrap();
        let mut whole = Hasher::new(Algorithm::Sha256);
        whole.update(&bytes);
        assert_eq!(streamed.finish(), whole.finish());
        assert!(Hasher::new(Algorithm::Blake3).update_from(&file, bytes.len() as u64 + 1).is_err());
    }
}
