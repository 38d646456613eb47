//! A small durable store of the plugin's own, kept over its versions.

use std::fmt;

use crate::bindings::hotshoe::plugin::storage as raw;
use crate::host;

/// Why a value could not be had or kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The grant `storage` is missing.
    Denied(String),
    /// A key is 1 to 64 bytes of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`.
    InvalidKey(String),
    /// The keys and values together would be over the grant, which is this many bytes.
    Full(u64),
    /// The disk failed.
    Io(String),
}

impl Error {
    /// Whether a retry can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Io(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied(text) => write!(formatter, "the plugin may not keep anything: {text}"),
            Error::InvalidKey(text) => write!(formatter, "the key cannot be used: {text}"),
            Error::Full(limit) => {
                write!(formatter, "the plugin may keep {limit} bytes, and it would be more")
            }
            Error::Io(text) => write!(formatter, "the plugin's store failed: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Error {
        match error {
            raw::Error::Denied(text) => Error::Denied(text),
            raw::Error::InvalidKey(text) => Error::InvalidKey(text),
            raw::Error::Full(limit) => Error::Full(limit),
            raw::Error::Io(text) => Error::Io(text),
        }
    }
}

/// The value of a key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(host::storage::get(key)?)
}

/// Sets a key. Durable when it returns.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    Ok(host::storage::set(key, value)?)
}

/// Deletes a key; one that is not there is well. Durable when it returns.
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(host::storage::delete(key)?)
}

/// All keys, sorted.
pub fn keys() -> Result<Vec<String>, Error> {
    Ok(host::storage::keys()?)
}
