//! A boot record's bytes: one disk sector, checked by a CRC, kept in two copies.
//!
//! Why two copies and in turn: the copy that counts is never the one being written, so a cut in the middle of a
//! write, torn or not, leaves the other one whole. The newer valid one wins. The host writes the same to both, one after
//! the other. Why 512 bytes: the unit that even old disks write at once. Why not JSON: a boot loader written in C must be
//! able to read it.
//!
//! Layout, little endian: magic `HSBOOT`, format `u16` = 1, sequence `u64`, tries `u8`, then three names (good,
//! running, trial; the last one empty without a trial), each `u8` length and that many bytes; zeros; CRC-32 (IEEE)
//! of everything before it in the last four bytes.

use super::{BootRecord, NAME_LIMIT, Trial};
use crate::planted::{self, Bug};

/// Size of an encoded record.
pub const RECORD_BYTES: usize = 512;

/// How many copies there are.
pub const COPIES: usize = 2;

const MAGIC: &[u8; 6] = b"HSBOOT";
const FORMAT: u16 = 1;
const BODY_BYTES: usize = RECORD_BYTES - 4;

/// Why bytes are no boot record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not 512 bytes.
    #[error("boot record has {0} bytes instead of 512")]
    Length(usize),
    /// Torn, rotten or never written.
    #[error("boot record's checksum does not match its content")]
    Checksum,
    /// Written by a newer version.
    #[error("boot record has format {0}, this version reads format 1")]
    Format(u16),
    /// Valid checksum over nonsense, or a record that cannot be encoded.
    #[error("boot record's {0} is not valid")]
    Field(&'static str),
}

/// Which copy a record of this sequence number is written to: never the newest one.
pub fn copy_for(sequence: u64) -> usize {
    usize::from(!sequence.is_multiple_of(2) && !planted::on(Bug::BootOneCopy))
}

/// The newest valid record among the copies; `None` if no copy is valid.
pub fn newest<'a>(copies: impl IntoIterator<Item = &'a [u8]>) -> Option<BootRecord> {
    let valid = copies.into_iter().filter_map(|copy| decode(copy).ok());
    valid.max_by_key(|record| record.sequence)
}

/// The bytes of a record.
pub fn encode(record: &BootRecord) -> Result<Vec<u8>, RecordError> {
    let (slot, tries) = match &record.trial {
        Some(trial) if trial.slot.is_empty() => return Err(RecordError::Field("trial slot")),
        Some(trial) => (trial.slot.as_str(), trial.tries),
        None => ("", 0),
    };
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&record.sequence.to_le_bytes());
    bytes.push(tries);
    for (field, name) in
        [("good slot", record.good.as_str()), ("running slot", &record.running), ("trial slot", slot)]
    {
        let length = u8::try_from(name.len()).map_err(|_| RecordError::Field(field))?;
        if name.len() > NAME_LIMIT || (name.is_empty() && field != "trial slot") {
            return Err(RecordError::Field(field));
        }
        bytes.push(length);
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.resize(BODY_BYTES, 0);
    bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
    Ok(bytes)
}

/// The record in these bytes.
pub fn decode(bytes: &[u8]) -> Result<BootRecord, RecordError> {
    if bytes.len() != RECORD_BYTES {
        return Err(RecordError::Length(bytes.len()));
    }
    let (mut body, checksum) = bytes.split_at(BODY_BYTES);
    if crc32(body).to_le_bytes() != checksum && !planted::on(Bug::BootWithoutChecksum) {
        return Err(RecordError::Checksum);
    }
    if take::<6>(&mut body)? != *MAGIC {
        return Err(RecordError::Field("magic"));
    }
    let format = u16::from_le_bytes(take(&mut body)?);
    if format != FORMAT {
        return Err(RecordError::Format(format));
    }
    let sequence = u64::from_le_bytes(take(&mut body)?);
    let [tries] = take(&mut body)?;
    let good = name(&mut body, "good slot")?;
    let running = name(&mut body, "running slot")?;
    let slot = name(&mut body, "trial slot")?;
    if good.is_empty() || running.is_empty() {
        return Err(RecordError::Field("slot name"));
    }
    let trial = (!slot.is_empty()).then_some(Trial { slot, tries });
    Ok(BootRecord { sequence, good, running, trial })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(RecordError::Field("length"))?;
    *bytes = rest;
    Ok(*head)
}

fn name(bytes: &mut &[u8], field: &'static str) -> Result<String, RecordError> {
    let [length] = take(bytes)?;
    let (head, rest) = bytes.split_at_checked(usize::from(length)).ok_or(RecordError::Field(field))?;
    *bytes = rest;
    if head.len() > NAME_LIMIT {
        return Err(RecordError::Field(field));
    }
    String::from_utf8(head.to_vec()).map_err(|_| RecordError::Field(field))
}

/// CRC-32 (IEEE 802.3), bit by bit: it runs over half a kilobyte, a few times in a device's life.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> BootRecord {
        let trial = Some(Trial { slot: "b".into(), tries: 1 });
        BootRecord { sequence, good: "a".into(), running: "a".into(), trial }
    }

    #[test]
    fn crc_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn comes_back_as_it_went() {
        let long = "x".repeat(NAME_LIMIT);
        for record in [
            record(7),
            BootRecord::fresh("system"),
            BootRecord {
                sequence: u64::MAX,
                good: long.clone(),
                running: long.clone(),
                trial: Some(Trial { slot: long, tries: 0 }),
            },
        ] {
            assert_eq!(decode(&encode(&record).unwrap()), Ok(record));
        }
        assert!(encode(&BootRecord::fresh(&"x".repeat(NAME_LIMIT + 1))).is_err());
        assert!(encode(&BootRecord::fresh("")).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let bytes = encode(&record(3)).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "length {length}");
        }
        assert_eq!(decode(&[0; RECORD_BYTES]), Err(RecordError::Checksum), "zeros are no record");
    }

    #[test]
    fn a_valid_checksum_does_not_make_nonsense_valid() {
        let mut state = 0x9E37_79B9_u32;
        for _ in 0..2_000 {
            let mut bytes: Vec<u8> = (0..BODY_BYTES)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            bytes[..8].copy_from_slice(b"HSBOOT\x01\0");
            bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
            if let Ok(record) = decode(&bytes) {
                assert!(!record.good.is_empty());
            }
        }
        let mut newer = encode(&record(1)).unwrap();
        newer[6] = 2;
        let checksum = crc32(&newer[..BODY_BYTES]);
        newer[BODY_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&newer), Err(RecordError::Format(2)));
    }

    #[test]
    fn the_newest_valid_copy_counts_and_is_never_the_one_overwritten() {
        let older = encode(&record(4)).unwrap();
        let newer = encode(&record(5)).unwrap();
        assert_eq!(newest([&older[..], &newer[..]]).unwrap().sequence, 5);
        assert_eq!(newest([&newer[..], &older[..]]).unwrap().sequence, 5);
        assert_eq!(newest([&older[..], &newer[..100]]).unwrap().sequence, 4);
        assert_eq!(newest([&older[..3], &newer[..100]]), None);
        assert_eq!(newest(std::iter::empty()), None);
        for sequence in 0..10 {
            assert_ne!(copy_for(sequence), copy_for(sequence + 1));
            assert!(copy_for(sequence) < COPIES);
        }
    }
}
