//! Where orders find plugins by their names, and who vouches for files.
//!
//! A device's signed repositories stand behind this; orders need two things of them and nothing of how they work.

use bytes::Bytes;
use cap_std::fs::Dir;
use futures_util::future::BoxFuture;
use hotshoe_core::digest::Digest;

use super::order::Order;

/// A file that a repository vouches for.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The repository's name in the configuration.
    pub repository: String,
    /// The target's name in it.
    pub target: String,
}

/// Why a plugin cannot be had by its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// The name for programs.
    pub code: &'static str,
    /// A status in the manner of HTTP.
    pub status: i32,
    /// Whether the same may go well later without anybody doing anything about it.
    pub transient: bool,
    /// What happened, and what to do.
    pub message: String,
}

/// The signed repositories of a device.
pub trait Source: Send + Sync + 'static {
    /// The plugin that an order names, verified; `directory` is a copy of the repository, on a stick for example.
    fn plugin<'a>(
        &'a self,
        order: &'a Order,
        directory: Option<&'a Dir>,
    ) -> BoxFuture<'a, Result<(Signed, Bytes), SourceError>>;

    /// Who signed a file with this SHA-256; `None` where nobody did.
    fn vouch<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Option<Signed>>;
}
