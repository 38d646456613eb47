//! Files from the network, fetched by the host and kept in its artifact store.
//!
//! ```no_run
//! # fn run() -> Result<(), hotshoe_guest::Failure> {
//! let image = hotshoe_guest::download::firmware("https://example.com/image.img").fetch()?;
//! # Ok(()) }
//! ```

use std::fmt;

use crate::bindings::hotshoe::plugin::download as raw;
use crate::host;

pub use crate::bindings::hotshoe::plugin::download::Purpose;

/// The most bytes that one [`Artifact::read`] returns.
pub const READ_LIMIT: u32 = 256 * 1024;

/// Why a file could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The grant `download` or the connected address forbids the URL, or a redirect led outside.
    Denied(String),
    /// The URL does not parse or is not `https`.
    InvalidUrl(String),
    /// The request's digest does not parse.
    InvalidDigest(String),
    /// No signed target covers the image and the policy `firmware.unsigned` refuses it.
    Untrusted(String),
    /// The server answered with this status.
    Status(u16),
    /// The connection failed or broke off, and the host's own retries did too. A retry resumes.
    Interrupted(String),
    /// The server says or sends another size than was asked for, in bytes.
    Size {
        /// What was asked for.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// The bytes are not those asked for; they were thrown away.
    Digest {
        /// What was asked for.
        expected: String,
        /// What the bytes hash to.
        actual: String,
    },
    /// The artifact store has no room, in bytes.
    InsufficientSpace {
        /// What the file takes.
        needed: u64,
        /// What is free.
        available: u64,
    },
    /// The disk failed.
    Io(String),
}

impl Error {
    /// Whether a retry can help, as the contract says it case by case.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Status(status) => matches!(status, 408 | 429 | 500..=599),
            Error::Interrupted(_) | Error::InsufficientSpace { .. } | Error::Io(_) => true,
            Error::Denied(_)
            | Error::InvalidUrl(_)
            | Error::InvalidDigest(_)
            | Error::Untrusted(_)
            | Error::Size { .. }
            | Error::Digest { .. } => false,
        }
    }

    /// A short name for the case, for programs that read the twin.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Denied(_) => "denied",
            Error::InvalidUrl(_) => "invalidUrl",
            Error::InvalidDigest(_) => "invalidDigest",
            Error::Untrusted(_) => "untrusted",
            Error::Status(_) => "status",
            Error::Interrupted(_) => "interrupted",
            Error::Size { .. } => "sizeMismatch",
            Error::Digest { .. } => "digestMismatch",
            Error::InsufficientSpace { .. } => "insufficientSpace",
            Error::Io(_) => "io",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied(text) => write!(formatter, "the download is not allowed: {text}"),
            Error::InvalidUrl(text) => write!(formatter, "the url cannot be fetched: {text}"),
            Error::InvalidDigest(text) => write!(formatter, "the digest cannot be read: {text}"),
            Error::Untrusted(text) => write!(formatter, "nobody vouches for the image: {text}"),
            Error::Status(status) => write!(formatter, "the server answered with status {status}"),
            Error::Interrupted(text) => write!(formatter, "the download broke off: {text}"),
            Error::Size { expected, actual } => {
                write!(formatter, "the file has {actual} bytes, and {expected} were asked for")
            }
            Error::Digest { expected, actual } => {
                write!(formatter, "the file hashes to {actual}, and {expected} was asked for")
            }
            Error::InsufficientSpace { needed, available } => {
                write!(
                    formatter,
                    "the file takes {needed} bytes, and the artifact store has {available} free"
                )
            }
            Error::Io(text) => write!(formatter, "the device's disk failed: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Error {
        match error {
            raw::Error::Denied(text) => Error::Denied(text),
            raw::Error::InvalidUrl(text) => Error::InvalidUrl(text),
            raw::Error::InvalidDigest(text) => Error::InvalidDigest(text),
            raw::Error::Untrusted(text) => Error::Untrusted(text),
            raw::Error::Status(status) => Error::Status(status),
            raw::Error::Interrupted(text) => Error::Interrupted(text),
            raw::Error::Size(sizes) => Error::Size { expected: sizes.expected, actual: sizes.actual },
            raw::Error::Digest(digests) => {
                Error::Digest { expected: digests.expected, actual: digests.actual }
            }
            raw::Error::InsufficientSpace(sizes) => {
                Error::InsufficientSpace { needed: sizes.expected, available: sizes.actual }
            }
            raw::Error::Io(text) => Error::Io(text),
        }
    }
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    url: String,
    digest: Option<String>,
    size: Option<u64>,
    purpose: Purpose,
}

/// Any file at an `https` URL within the grant `download`.
pub fn file(url: &str) -> Fetch {
    Fetch { url: url.to_owned(), digest: None, size: None, purpose: Purpose::File }
}

/// A firmware image: the device's policy `firmware.unsigned` is applied before a byte is fetched.
pub fn firmware(url: &str) -> Fetch {
    Fetch { purpose: Purpose::Firmware, ..file(url) }
}

impl Fetch {
    /// What the bytes must hash to: `sha256:` or `blake3:` and 64 lower-case hexadecimal digits. With it, a
    /// file that is already in the store is not fetched again.
    #[must_use]
    pub fn digest(mut self, digest: impl Into<Option<String>>) -> Fetch {
        self.digest = digest.into();
        self
    }

    /// How many bytes there must be.
    #[must_use]
    pub fn size(mut self, size: impl Into<Option<u64>>) -> Fetch {
        self.size = size.into();
        self
    }

    /// Says what the file will be, before a byte of it is fetched: by signed metadata, by the digest given here, or
    /// for firmware by the one beside the file where the device's policy goes by that. None where nobody says:
    /// such a file is fetched to be known.
    ///
    /// What it returns is for [`Staging::receive`](crate::flash::Staging::receive), in this run.
    pub fn resolve(self) -> Result<Option<Source>, Error> {
        let Fetch { url, digest, size, purpose } = self;
        let source = host::download::resolve(&raw::Request { url, digest, size, purpose })?;
        Ok(source.map(Source))
    }

    /// Fetches the file. Returns when it is whole, verified and durable, which may take long.
    ///
    /// Idempotent and resumable: after an interruption of any kind the same request goes on where the bytes on
    /// the disk end.
    pub fn fetch(self) -> Result<Artifact, Error> {
        let Fetch { url, digest, size, purpose } = self;
        let artifact = host::download::fetch(&raw::Request { url, digest, size, purpose })?;
        Ok(Artifact(artifact))
    }
}

/// A file that is known before it is fetched. Good for the run that resolved it.
#[derive(Debug)]
pub struct Source(pub(crate) host::download::Source);

impl Source {
    /// What its bytes will hash to: the digest to open the staging with.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// How many bytes there will be, where somebody says so.
    pub fn size(&self) -> Option<u64> {
        self.0.size()
    }

    /// The version that is signed for it, where one is.
    pub fn version(&self) -> Option<String> {
        self.0.version()
    }
}

/// A whole, verified file in the artifact store, kept there while this lives.
#[derive(Debug)]
pub struct Artifact(pub(crate) host::download::Artifact);

impl Artifact {
    /// The digest it was verified against, or its SHA-256 where none was asked for.
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The URL it came from, after redirects.
    pub fn origin(&self) -> String {
        self.0.origin()
    }

    /// Reads at most `length` bytes from `offset`, at most [`READ_LIMIT`] at once; empty at the end.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        Ok(self.0.read(offset, length)?)
    }
}
