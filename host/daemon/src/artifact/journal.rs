//! What is remembered about a file on its way: where it comes from, and how much of it is on the disk.

use hotshoe_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// What a file on its way is known by: its digest, or else its URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    name: String,
    digest: Option<Digest>,
}

impl Key {
    /// The key of a file with a known digest: any URL it is fetched from leads to the same beginning.
    pub fn of_digest(digest: &Digest) -> Self {
        Self { name: digest.file_name(), digest: Some(digest.clone()) }
    }

    /// The key of whatever a URL serves.
    pub fn of_url(url: &str) -> Self {
        Self { name: format!("url-{}", blake3::hash(url.as_bytes()).to_hex()), digest: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The digest that was asked for.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

/// What a server calls one version of a file, strong enough to join bytes of two answers (RFC 9110, 13.1.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validator {
    /// A strong entity tag, quotes included.
    Etag(String),
    /// A date, where there is no strong entity tag.
    LastModified(String),
}

/// The answer that the bytes of a file on its way belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The URL that was asked for, before redirects.
    pub url: String,
    /// What the server calls this version. `None`: it cannot be asked to go on.
    pub validator: Option<Validator>,
    /// The size of the whole in bytes, if the server said so.
    pub total: Option<u64>,
}

/// The durable part of a file on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) origin: Origin,
    pub(super) digest: Option<Digest>,
    /// Bytes that were flushed before this was written.
    pub(super) durable: u64,
}
