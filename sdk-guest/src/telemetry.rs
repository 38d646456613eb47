//! Device-to-cloud messages.

use std::fmt;

use serde::Serialize;

use crate::bindings::hotshoe::plugin::telemetry as raw;
use crate::host;

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The grant `telemetry` is missing.
    Denied(String),
    /// Not JSON, or over 256 KiB with its properties.
    Invalid(String),
    /// Too many messages wait for the link; this is how many are kept.
    Full(u32),
}

impl Error {
    /// Whether a retry can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Full(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied(text) => write!(formatter, "the plugin may not send messages: {text}"),
            Error::Invalid(text) => write!(formatter, "the message cannot be sent: {text}"),
            Error::Full(limit) => write!(formatter, "{limit} messages wait for the link already"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Error {
        match error {
            raw::Error::Denied(text) => Error::Denied(text),
            raw::Error::Invalid(text) => Error::Invalid(text),
            raw::Error::Full(limit) => Error::Full(limit),
        }
    }
}

/// Queues a JSON message with application properties for the hub.
///
/// Not durable: what waits is lost with the process. What must arrive belongs into
/// [`report`](crate::report).
pub fn send(body: &impl Serialize, properties: &[(&str, &str)]) -> Result<(), Error> {
    let body = serde_json::to_string(body).map_err(|error| Error::Invalid(error.to_string()))?;
    let properties: Vec<(String, String)> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(host::telemetry::send(&body, &properties)?)
}
