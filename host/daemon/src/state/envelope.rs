//! What is around a value in a state file: one line with format and checksum, then the value as JSON.
//!
//! `hotshoe-state 1 <64 hex of BLAKE3 over the rest>` and a line feed. A person can read the file, and every bit of
//! it is covered: the header is compared letter by letter, the body by its hash. The format counts changes of this
//! envelope; changes of a value are its own affair (new members with defaults).

use hotshoe_core::planted::{self, Bug};
use serde::{Serialize, de::DeserializeOwned};

const MAGIC: &str = "hotshoe-state";
const FORMAT: u32 = 1;

/// Why a file is set aside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it does not begin with the header of a state file")]
    Header,
    #[error("it has format {0}, this version reads format 1; was a newer version here?")]
    Newer(u32),
    #[error("its content does not match its checksum")]
    Checksum,
    #[error("its value is not what was expected: {0}")]
    Value(serde_json::Error),
}

/// The bytes of a value's file.
pub(super) fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(value)?;
    let mut bytes = header(&body).into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The value in a file's bytes.
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Unreadable::Header)?;
    let (head, body) = bytes.split_at_checked(end.saturating_add(1)).ok_or(Unreadable::Header)?;
    if head != header(body).as_bytes() && !planted::on(Bug::StateWithoutChecksum) {
        return Err(mismatch(head));
    }
    serde_json::from_slice(body).map_err(Unreadable::Value)
}

fn header(body: &[u8]) -> String {
    format!("{MAGIC} {FORMAT} {}\n", blake3::hash(body).to_hex())
}

fn mismatch(head: &[u8]) -> Unreadable {
    let mut words = std::str::from_utf8(head).unwrap_or_default().split_ascii_whitespace();
    if words.next() != Some(MAGIC) {
        return Unreadable::Header;
    }
    match words.next().and_then(|format| format.parse().ok()) {
        Some(format) if format > FORMAT => Unreadable::Newer(format),
        Some(_) => Unreadable::Checksum,
        None => Unreadable::Header,
    }
}
