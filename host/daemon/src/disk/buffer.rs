//! Memory that a disk can read and write by itself.

use super::BLOCK;

/// Bytes that begin at a multiple of [`BLOCK`] in memory, so that a volume opened with [`Open::Direct`] takes them.
///
/// [`Open::Direct`]: super::Open::Direct
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// So many zeros.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length.saturating_add(BLOCK)];
        let start = bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { bytes, start, length }
    }

    /// Whether these bytes could go to the disk past the cache, as far as memory and length matter.
    pub fn fits(bytes: &[u8]) -> bool {
        bytes.as_ptr().align_offset(BLOCK) == 0 && bytes.len().is_multiple_of(BLOCK)
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let end = self.start.saturating_add(self.length);
        self.bytes.get(self.start..end).unwrap_or_default()
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = self.start.saturating_add(self.length);
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_block_whatever_its_length() {
        for length in [0, 1, BLOCK, 3 * BLOCK + 1, 512 * 1024] {
            let mut buffer = Buffer::new(length);
            assert_eq!(buffer.len(), length);
            buffer.fill(7);
            assert_eq!(Buffer::fits(&buffer), length.is_multiple_of(BLOCK));
            assert!(length == 0 || !Buffer::fits(&buffer[1..]));
        }
    }
}
