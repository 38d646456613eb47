//! The plugin's section of the desired properties.

use serde::de::DeserializeOwned;

use crate::bindings::hotshoe::plugin::types;
use crate::host;

/// The plugin's section as the hub holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The hub's `$version` of the desired properties it was taken from.
    pub version: u64,
    /// The section, a JSON object as text.
    pub properties: String,
}

impl Document {
    /// Reads the section as a `T`; the error is a text for the acknowledgement.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_str(&self.properties).map_err(|error| error.to_string())
    }
}

impl From<types::Document> for Document {
    fn from(document: types::Document) -> Document {
        Document { version: document.version, properties: document.properties }
    }
}

/// The section as last seen, in this boot or an earlier one. None before the first connection, and where the
/// manifest names no section.
pub fn current() -> Option<Document> {
    host::desired::current().map(Document::from)
}
