//! The device's slots: where images stand, and which one boots.
//!
//! ```no_run
//! # fn run() -> Result<(), hotshoe_guest::Failure> {
//! use hotshoe_guest::{download, flash};
//!
//! let image = download::firmware("https://example.com/image.img");
//! let slot = flash::spare()?.name;
//! match image.clone().resolve()? {
//!     // Known beforehand: straight from the network into the slot.
//!     Some(source) => {
//!         let staging = flash::Staging::open(&slot, &source.digest())?;
//!         staging.receive(&source)?;
//!         staging.seal("2.8.5")?;
//!     }
//!     // Known once it is here: by way of the artifact store.
//!     None => {
//!         let image = image.fetch()?;
//!         let staging = flash::Staging::open(&slot, &image.digest())?;
//!         staging.append_artifact(&image)?;
//!         staging.seal("2.8.5")?;
//!     }
//! }
//! flash::activate(&slot)?;
//! # Ok(()) }
//! ```

use std::fmt;
use std::time::Duration;

use crate::bindings::hotshoe::plugin::flash as raw;
use crate::download::{self, Artifact, Source};
use crate::host;

pub use crate::bindings::hotshoe::plugin::flash::{Content, Group, Slot};

/// Why a slot was not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The grant `flash` is missing.
    Denied(String),
    /// There is no slot of that name.
    UnknownSlot(String),
    /// The device runs from the slot, or a trial is under way and neither confirmed nor reverted; or the plugin has
    /// written as many bytes as a day takes, and the text says when it may again.
    Busy(String),
    /// Another job holds the slot; this is its id. A retry helps when that one has ended.
    Leased(String),
    /// The digest does not parse.
    InvalidDigest(String),
    /// The image is larger than the slot, in bytes.
    InsufficientSpace {
        /// What the image takes.
        needed: u64,
        /// What the slot has.
        available: u64,
    },
    /// What was read back is not what was promised; the slot is empty now.
    DigestMismatch(String),
    /// No signed target covers the digest and the policy `firmware.unsigned` refuses it.
    Untrusted(String),
    /// The slot holds no sealed image.
    NotSealed(String),
    /// The disk or the boot loader's record failed.
    Io(String),
}

impl Error {
    /// Whether a retry can help. A digest that does not match is staged again by a retry; what keeps a slot busy passes,
    /// and where it is the plugin's day that is used up the host holds the job until the next one.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Busy(_) | Error::Leased(_) | Error::DigestMismatch(_) | Error::Io(_))
    }

    /// A short name for the case, for programs that read the twin.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Denied(_) => "denied",
            Error::UnknownSlot(_) => "unknownSlot",
            Error::Busy(_) => "busy",
            Error::Leased(_) => "leased",
            Error::InvalidDigest(_) => "invalidDigest",
            Error::InsufficientSpace { .. } => "insufficientSpace",
            Error::DigestMismatch(_) => "digestMismatch",
            Error::Untrusted(_) => "untrusted",
            Error::NotSealed(_) => "notSealed",
            Error::Io(_) => "io",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Denied(text) => write!(formatter, "the slots may not be touched: {text}"),
            Error::UnknownSlot(text) => write!(formatter, "there is no such slot: {text}"),
            Error::Busy(text) => write!(formatter, "not now: {text}"),
            Error::Leased(job) => write!(formatter, "the slot is held by the job {job}"),
            Error::InvalidDigest(text) => write!(formatter, "the digest cannot be read: {text}"),
            Error::InsufficientSpace { needed, available } => {
                write!(formatter, "the image takes {needed} bytes, and the slot has {available}")
            }
            Error::DigestMismatch(digest) => {
                write!(formatter, "what was read back from the slot hashes to {digest}")
            }
            Error::Untrusted(text) => write!(formatter, "nobody vouches for the image: {text}"),
            Error::NotSealed(text) => write!(formatter, "the slot holds no sealed image: {text}"),
            Error::Io(text) => write!(formatter, "the slot or the boot record failed: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raw::Error> for Error {
    fn from(error: raw::Error) -> Error {
        match error {
            raw::Error::Denied(text) => Error::Denied(text),
            raw::Error::UnknownSlot(text) => Error::UnknownSlot(text),
            raw::Error::Busy(text) => Error::Busy(text),
            raw::Error::Leased(text) => Error::Leased(text),
            raw::Error::InvalidDigest(text) => Error::InvalidDigest(text),
            raw::Error::InsufficientSpace(space) => {
                Error::InsufficientSpace { needed: space.needed, available: space.available }
            }
            raw::Error::DigestMismatch(digest) => Error::DigestMismatch(digest),
            raw::Error::Untrusted(text) => Error::Untrusted(text),
            raw::Error::NotSealed(text) => Error::NotSealed(text),
            raw::Error::Io(text) => Error::Io(text),
        }
    }
}

/// Why an image did not come whole into a slot. What came of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// It could not be had.
    Download(download::Error),
    /// It could not be written.
    Flash(Error),
}

impl ReceiveError {
    /// Whether a retry can help. It goes on where this one ended.
    pub fn is_transient(&self) -> bool {
        match self {
            ReceiveError::Download(error) => error.is_transient(),
            ReceiveError::Flash(error) => error.is_transient(),
        }
    }

    /// A short name for the case, for programs that read the twin.
    pub fn code(&self) -> &'static str {
        match self {
            ReceiveError::Download(error) => error.code(),
            ReceiveError::Flash(error) => error.code(),
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Download(error) => error.fmt(formatter),
            ReceiveError::Flash(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ReceiveError {}

impl From<raw::ReceiveError> for ReceiveError {
    fn from(error: raw::ReceiveError) -> ReceiveError {
        match error {
            raw::ReceiveError::Download(error) => ReceiveError::Download(error.into()),
            raw::ReceiveError::Flash(error) => ReceiveError::Flash(error.into()),
        }
    }
}

/// The slots, in the order of the device's configuration.
pub fn slots() -> Result<Vec<Slot>, Error> {
    Ok(host::flash::slots()?)
}

/// The first slot that the device does not run from: where the next image goes.
pub fn spare() -> Result<Slot, Error> {
    slots()?
        .into_iter()
        .find(|slot| !slot.running)
        .ok_or_else(|| Error::UnknownSlot("the device has no slot but the one it runs from".to_owned()))
}

/// The groups of slots that are armed, booted and confirmed together, in the order of the device's configuration. A
/// slot that belongs to none is a group of its own.
pub fn groups() -> Result<Vec<Group>, Error> {
    Ok(host::flash::groups()?)
}

/// The first group of slots that the device does not run from: where the next images go.
pub fn spare_group() -> Result<Group, Error> {
    let slots = slots()?;
    let runs = |part: &String| slots.iter().any(|slot| slot.name == *part && slot.running);
    groups()?
        .into_iter()
        .find(|group| !group.parts.iter().any(runs))
        .ok_or_else(|| Error::UnknownSlot("the device has no slot but the one it runs from".to_owned()))
}

/// What came of wanting to arm a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Its trial boot is armed.
    Armed,
    /// The device's policy puts it off: return [`Outcome::Later`](crate::Outcome::Later) with this time, then ask again.
    Postponed {
        /// Why, for people.
        reason: String,
        /// How long to wait.
        retry_after: Duration,
    },
}

/// Arms one trial boot of a sealed slot, if the device's policy lets it be interrupted now: its maintenance windows, and
/// the check that its owner has set. Durable when it returns; arming it again is well.
pub fn activate_if_allowed(slot: &str) -> Result<Activation, Error> {
    Ok(match host::flash::activate_if_allowed(slot)? {
        raw::Activation::Armed => Activation::Armed,
        raw::Activation::Postponed(raw::Postponement { reason, retry_after }) => {
            Activation::Postponed { reason, retry_after: Duration::from_nanos(retry_after) }
        }
    })
}

/// Arms one trial boot of a sealed slot, or of a group whose parts are all sealed. Durable when it returns; arming it again
/// is well. What the device's policy puts off is [`Error::Busy`]; [`activate_if_allowed`] tells when to ask again.
///
/// What is in the slot is read back before. Where it is not whole any more the error is [`Error::DigestMismatch`],
/// [`Error::NotSealed`] or [`Error::Io`]: stage it again.
pub fn activate(slot: &str) -> Result<(), Error> {
    Ok(host::flash::activate(slot)?)
}

/// Marks the running slot good. Durable when it returns; confirming again is well.
pub fn confirm() -> Result<(), Error> {
    Ok(host::flash::confirm()?)
}

/// Gives up an armed or running trial: the good slot is booted next. Durable when it returns.
pub fn revert() -> Result<(), Error> {
    Ok(host::flash::revert()?)
}

/// An image on its way into a slot, keyed by slot and digest.
#[derive(Debug)]
pub struct Staging(host::flash::Staging);

impl Staging {
    /// Opens a slot for the image with this digest and takes the device-wide lease on it for this job. The
    /// same slot and digest go on where the durable bytes end; another digest starts from nothing.
    pub fn open(slot: &str, digest: &str) -> Result<Staging, Error> {
        Ok(Staging(host::flash::Staging::open(slot, digest)?))
    }

    /// How many bytes are written, counted from the start of the image.
    pub fn written(&self) -> u64 {
        self.0.written()
    }

    /// Appends bytes, and returns what [`written`](Staging::written) does then. For plugins that make the
    /// image themselves.
    pub fn append(&self, bytes: &[u8]) -> Result<u64, Error> {
        Ok(self.0.append(bytes)?)
    }

    /// Appends what is missing of a file, within the host: no byte passes through the plugin.
    pub fn append_artifact(&self, artifact: &Artifact) -> Result<u64, Error> {
        Ok(self.0.append_artifact(&artifact.0)?)
    }

    /// Receives what is missing of an image straight from where it can be had, within the host: nothing is stored on
    /// the way. Returns what [`written`](Staging::written) does then: all of the image.
    ///
    /// The staging must have been opened with the digest of the source. Cut off in any way, the same call goes on
    /// where it was, to the chunk where a hash tree is signed for the image.
    pub fn receive(&self, source: &Source) -> Result<u64, ReceiveError> {
        Ok(self.0.receive(&source.0)?)
    }

    /// Reads the image back, compares it with the digest and marks the slot as holding this version. Durable
    /// when it returns. Sealing a sealed slot again is well.
    pub fn seal(&self, version: &str) -> Result<(), Error> {
        Ok(self.0.seal(version)?)
    }
}
