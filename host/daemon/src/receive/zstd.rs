//! An image as zstd frames of 1 MiB each.
//!
//! Each frame stands by itself, so receiving goes on at any of them. Where a frame ends is seen from the lengths of its
//! blocks without decompressing it; it is decompressed once it is whole. Nothing here is trusted: a frame may take so many
//! bytes and give so many and not one more, its window is bounded before memory is taken for it, and what comes out is
//! verified like everything else.

use std::io::Read as _;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder, errors::FrameDecoderError};

use crate::flash::Encoded;

/// Bytes of the image in a frame; the last one has fewer.
pub const FRAME: usize = 1024 * 1024;

/// Most bytes of a compressed frame: what does not compress grows by a thousandth.
const FRAME_LIMIT: usize = FRAME + FRAME / 16;

/// Most bytes that a frame may refer back to: what `zstd` uses at its common levels.
const WINDOW_LIMIT: u64 = 8 * 1024 * 1024;

/// Most bytes of a block (RFC 8878, 3.1.1.2.4).
const BLOCK_LIMIT: usize = 128 * 1024;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A whole compressed frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    /// The chunk of the image that it begins with.
    pub(super) first: u64,
    /// Bytes that must come out.
    pub(super) length: usize,
    /// The place behind it.
    pub(super) border: Encoded,
}

/// Why bytes are not the frame they should be.
#[derive(Debug, thiserror::Error)]
pub enum ZstdError {
    /// What stands there is none.
    #[error("there is no zstd frame where one should begin")]
    Magic,
    /// What the format allows and an image does not need.
    #[error("it needs a dictionary, or has a block that the format does not know")]
    Unknown,
    /// Its end is not within the limit.
    #[error("it is longer than {FRAME_LIMIT} bytes")]
    TooLong,
    /// It gives another number of bytes than it should.
    #[error("it gives {actual} bytes or more, {expected} are the image's")]
    Length {
        /// Bytes that were wanted.
        expected: usize,
        /// Bytes that it gives at least.
        actual: usize,
    },
    /// Its blocks are none.
    #[error("it does not decompress: {0}")]
    Garbage(#[from] FrameDecoderError),
    /// It ends before its last block does.
    #[error("it does not decompress: {0}")]
    Io(#[from] std::io::Error),
}

/// Finds the end of a frame in bytes that come piece by piece.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Where the next block begins; 0: the header has not been seen.
    at: usize,
    /// Bytes behind the last block.
    trailer: usize,
}

impl Scanner {
    /// Bytes of the frame at the beginning of these, once all of it is there. Give it the same bytes and more each time.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, ZstdError> {
        if self.at == 0 {
            let Some((magic, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
            if *magic != MAGIC {
                return Err(ZstdError::Magic);
            }
            let Some(descriptor) = rest.first() else { return Ok(None) };
            if descriptor & 0b1011 != 0 {
                return Err(ZstdError::Unknown);
            }
            let single = descriptor & 0b10_0000 != 0;
            let size = match descriptor >> 6 {
                0 => usize::from(single),
                power => 1 << power,
            };
            self.at = 5 + usize::from(!single) + size;
            self.trailer = if descriptor & 0b100 != 0 { 4 } else { 0 };
        }
        loop {
            let header = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<3>);
            let Some([low, middle, high]) = header.copied() else { break };
            let header = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
            let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
            if kind == 3 || size > BLOCK_LIMIT {
                return Err(ZstdError::Unknown);
            }
            let end = self.at + 3 + if kind == 1 { 1 } else { size };
            if last {
                let end = end + self.trailer;
                return if end > FRAME_LIMIT {
                    Err(ZstdError::TooLong)
                } else {
                    Ok((bytes.len() >= end).then_some(end))
                };
            }
            if bytes.len() < end {
                break;
            }
            self.at = end;
        }
        if bytes.len() > FRAME_LIMIT { Err(ZstdError::TooLong) } else { Ok(None) }
    }
}

/// Decompresses frames one after the other.
pub struct Decoder(FrameDecoder);

impl Default for Decoder {
    fn default() -> Self {
        let mut decoder = FrameDecoder::default();
        decoder.set_max_window_size(WINDOW_LIMIT);
        Self(decoder)
    }
}

impl Decoder {
    /// Decompresses a frame into exactly these bytes. On an error any of them may have changed.
    pub fn decode(&mut self, mut frame: &[u8], out: &mut [u8]) -> Result<(), ZstdError> {
        let expected = out.len();
        let mut filled = 0;
        self.0.reset(&mut frame)?;
        loop {
            let finished = self.0.decode_blocks(&mut frame, BlockDecodingStrategy::UptoBlocks(1))?;
            loop {
                let read = self.0.read(out.get_mut(filled..).unwrap_or_default())?;
                filled += read;
                if read == 0 {
                    break;
                }
            }
            if self.0.can_collect() > 0 {
                return Err(ZstdError::Length { expected, actual: filled + self.0.can_collect() });
            }
            if finished {
                break;
            }
        }
        if filled == expected { Ok(()) } else { Err(ZstdError::Length { expected, actual: filled }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of raw and repeated blocks, which need no compressor.
    fn frame(blocks: &[(u8, usize, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // A window of 1 MiB, no size, no checksum.
        bytes.extend([0, 10 << 3]);
        for (index, (kind, size, content)) in blocks.iter().enumerate() {
            let last = usize::from(index + 1 == blocks.len());
            let header = size << 3 | usize::from(*kind) << 1 | last;
            bytes.extend(&header.to_le_bytes()[..3]);
            bytes.extend(*content);
        }
        bytes
    }

    fn scanned(bytes: &[u8]) -> Result<Option<usize>, ZstdError> {
        Scanner::default().end(bytes)
    }

    #[test]
    fn a_frame_ends_where_its_blocks_say_however_it_comes() {
        let whole = frame(&[(0, 5, b"hello"), (1, 100_000, b"x"), (0, 3, b"end")]);
        let two = [&whole[..], &whole[..]].concat();
        let mut scanner = Scanner::default();
        for length in 0..whole.len() {
            assert_eq!(scanner.end(&two[..length]).unwrap(), None, "{length}");
        }
        assert_eq!(scanner.end(&two).unwrap(), Some(whole.len()));
        let mut out = vec![0; 100_008];
        Decoder::default().decode(&whole, &mut out).unwrap();
        assert!(out.starts_with(b"helloxxx") && out.ends_with(b"xend"));
    }

    #[test]
    fn bombs_and_garbage_are_errors() {
        let repeat: (u8, usize, &[u8]) = (1, BLOCK_LIMIT, b"x");
        let bomb = frame(&vec![repeat; 10_000]);
        let mut out = vec![0; FRAME];
        assert!(matches!(Decoder::default().decode(&bomb, &mut out), Err(ZstdError::Length { .. })));
        let short = frame(&[(0, 5, b"hello")]);
        assert!(matches!(
            Decoder::default().decode(&short, &mut out),
            Err(ZstdError::Length { actual: 5, .. })
        ));
        assert!(matches!(scanned(b"PK\x03\x04 no zstd"), Err(ZstdError::Magic)));
        assert!(matches!(scanned(&frame(&[(3, 5, b"hello")])), Err(ZstdError::Unknown)));
        let endless = frame(&vec![(0, 100_000, &[7; 100_000][..]); 12]);
        assert!(matches!(scanned(&endless), Err(ZstdError::TooLong)));
        let mut wide = frame(&[(0, 5, b"hello")]);
        wide[5] = 20 << 3;
        assert!(
            matches!(Decoder::default().decode(&wide, &mut out), Err(ZstdError::Garbage(_))),
            "1 GiB of window"
        );
        for seed in 0..200_u32 {
            let noise: Vec<u8> =
                (0..400).map(|n: u32| (n ^ seed).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
            let bytes = [&MAGIC[..], &[(seed as u8) & 0xf4], &noise].concat();
            if let Ok(Some(end)) = scanned(&bytes) {
                let _ = Decoder::default().decode(&bytes[..end], &mut out);
            }
        }
    }
}
