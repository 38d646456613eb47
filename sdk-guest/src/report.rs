//! The twin's reported properties.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::bindings::hotshoe::plugin::report as raw;
use crate::host;

/// Why nothing was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The plugin does not own one of the keys; the text names its path.
    Denied(String),
    /// Not a JSON object, or over a limit of the twin.
    Invalid(String),
    /// The reported properties would be over 32 KiB, or the plugin's part of them over 8 KiB.
    TooLarge(String),
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
            Error::Denied(text) => write!(formatter, "the plugin may not report this: {text}"),
            Error::Invalid(text) => write!(formatter, "the twin does not take this: {text}"),
            Error::TooLarge(text) => write!(formatter, "the reported properties would be too large: {text}"),
            Error::Io(text) => write!(formatter, "the report could not be stored: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Error {
        match error {
            raw::Error::Denied(text) => Error::Denied(text),
            raw::Error::Invalid(text) => Error::Invalid(text),
            raw::Error::TooLarge(text) => Error::TooLarge(text),
            raw::Error::Io(text) => Error::Io(text),
        }
    }
}

/// Merges a JSON object into the reported properties (RFC 7396: `null` deletes a key), at or below the paths
/// that the manifest names.
///
/// Durable when it returns: it reaches the hub when the link is up, after restarts and power cuts too. Call it
/// per phase, not per percent; that is what [`Job::progress`](crate::Job::progress) is for.
pub fn patch(patch: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(patch).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(host::report::patch(&text)?)
}

/// Waits until the hub has acknowledged all that this plugin reported, at most this long. False when the time
/// was up first; nothing is lost then.
pub fn flush(timeout: Duration) -> bool {
    host::report::flush(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}
