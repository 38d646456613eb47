//! Why a repository, or what it says, was not believed. Each attack of the TUF specification has its name here.

use std::fmt;

use hotshoe_core::{digest::Digest, target::TargetError};

use crate::state::StateError;

/// A role's metadata, for messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// The repository, by its name in the configuration.
    pub repository: String,
    /// `root`, `timestamp`, `snapshot`, `targets`, or a delegated role.
    pub name: String,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the role `{:.64}` of repository `{}`", self.name, self.repository)
    }
}

/// Why a repository, or what it says, was not believed. Nothing that was refused is kept or used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The configuration of a repository cannot be used.
    #[error("repository `{repository}` cannot be used: {reason}")]
    Settings {
        /// Which.
        repository: String,
        /// Why.
        reason: String,
    },
    /// No repository has this name, or none is configured at all.
    #[error("there is no repository `{name}`; configured: {known}")]
    UnknownRepository {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// It cannot be reached, or is too slow, and nothing is known of it that still holds. A retry helps when it can be.
    #[error("repository `{repository}` cannot be reached: {reason}")]
    Unreachable {
        /// Which.
        repository: String,
        /// Why.
        reason: String,
    },
    /// Endless data: more bytes than there may be.
    #[error(
        "endless data: `{file}` of repository `{repository}` has more than {limit} bytes; nothing was kept"
    )]
    EndlessData {
        /// Which repository.
        repository: String,
        /// Which file.
        file: String,
        /// Bytes there may be.
        limit: u64,
    },
    /// Metadata that does not read, or is of another type than its name says.
    #[error("{role} does not read: {reason}")]
    Malformed {
        /// Whose.
        role: Role,
        /// Why.
        reason: String,
    },
    /// Not one signature by a key that may sign this.
    #[error(
        "wrong keys: {role} has no valid signature by a key that may sign it, {wanted} are needed; either it was \
         forged, or it was signed with keys that the root does not name"
    )]
    Signature {
        /// Whose.
        role: Role,
        /// The threshold.
        wanted: u64,
    },
    /// Fewer signatures than needed.
    #[error("threshold not met: {role} has {valid} valid signatures of {wanted}; have the others sign too")]
    Threshold {
        /// Whose.
        role: Role,
        /// Valid signatures, each key counted once.
        valid: u64,
        /// The threshold.
        wanted: u64,
    },
    /// Two signatures by one key: they never count twice, and nobody who is honest writes them.
    #[error("{role} has two signatures by one key ({key:.80}); a key signs once")]
    DuplicateSignature {
        /// Whose.
        role: Role,
        /// Which key.
        key: String,
    },
    /// A root that does not follow its predecessor.
    #[error("root rotation of repository `{repository}` refused at version {version}: {reason}")]
    RootRotation {
        /// Which repository.
        repository: String,
        /// The version that was to come.
        version: u64,
        /// Why.
        reason: String,
    },
    /// An older version than one seen before.
    #[error("rollback: {role} is offered in version {offered}, version {trusted} was seen before")]
    Rollback {
        /// Whose.
        role: Role,
        /// What is offered; 0 where the role is gone.
        offered: u64,
        /// What was seen.
        trusted: u64,
    },
    /// Freeze: what is offered, or was kept, has expired.
    #[error(
        "freeze: {role} expired at {} and it is {} at least; whoever runs the repository must sign anew \
         (`hotshoe repo refresh`), or somebody holds the new metadata back",
        moment(*.expired), moment(*.now)
    )]
    Freeze {
        /// Whose.
        role: Role,
        /// When, in seconds since 1970.
        expired: u64,
        /// The clock or the time floor, whichever is later, in seconds since 1970.
        now: u64,
    },
    /// Metadata of different states of the repository together.
    #[error("mix and match: {role} {reason}")]
    MixAndMatch {
        /// Whose.
        role: Role,
        /// What does not go together.
        reason: String,
    },
    /// A role signs a name that it was not given.
    #[error("{role} names the target `{target}`, which is outside of what is delegated to it")]
    OutsideDelegation {
        /// Whose.
        role: Role,
        /// Which target.
        target: String,
    },
    /// More delegations than are followed.
    #[error(
        "repository `{repository}`: more than {limit} delegated roles stand between the root and a target"
    )]
    TooManyRoles {
        /// Which.
        repository: String,
        /// How many are followed.
        limit: usize,
    },
    /// No role that may says anything about this target.
    #[error("repository `{repository}` has no target `{target}`; publish it first")]
    UnknownTarget {
        /// Which repository.
        repository: String,
        /// Which target.
        target: String,
    },
    /// The target is there, and what is said of it cannot be.
    #[error("target `{target}` of repository `{repository}` cannot be used: {reason}")]
    BadTarget {
        /// Which repository.
        repository: String,
        /// Which target.
        target: String,
        /// Why.
        reason: TargetError,
    },
    /// It is for other hardware.
    #[error("target `{target}` is for the hardware {wanted}, this device is {present}")]
    WrongHardware {
        /// Which target.
        target: String,
        /// What it is for.
        wanted: String,
        /// What the device is, by its configuration.
        present: String,
    },
    /// Larger than is taken.
    #[error("target `{target}` has {length} bytes, {limit} are the most")]
    TooLarge {
        /// Which target.
        target: String,
        /// By the signed metadata.
        length: u64,
        /// What is taken.
        limit: u64,
    },
    /// The bytes are not those that were signed.
    #[error("target `{target}` hashes to {actual} instead of {expected}; nothing of it was kept")]
    WrongBytes {
        /// Which target.
        target: String,
        /// By the signed metadata.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// What the job says and what is signed differ: the two must agree.
    #[error("the job says {what} {claimed} for target `{target}`, signed is {signed}")]
    Disagreement {
        /// Which target.
        target: String,
        /// `digest`, `size` or `version`.
        what: &'static str,
        /// By the job.
        claimed: String,
        /// By the signed metadata.
        signed: String,
    },
    /// What is trusted could not be kept, so it was not used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl TrustError {
    /// A word for programs, in camel case.
    pub fn code(&self) -> &'static str {
        match self {
            TrustError::Settings { .. } => "settings",
            TrustError::UnknownRepository { .. } => "unknownRepository",
            TrustError::Unreachable { .. } => "unreachable",
            TrustError::EndlessData { .. } => "endlessData",
            TrustError::Malformed { .. } => "malformed",
            TrustError::Signature { .. } => "signature",
            TrustError::Threshold { .. } => "threshold",
            TrustError::DuplicateSignature { .. } => "duplicateSignature",
            TrustError::RootRotation { .. } => "rootRotation",
            TrustError::Rollback { .. } => "rollback",
            TrustError::Freeze { .. } => "freeze",
            TrustError::MixAndMatch { .. } => "mixAndMatch",
            TrustError::OutsideDelegation { .. } => "outsideDelegation",
            TrustError::TooManyRoles { .. } => "tooManyRoles",
            TrustError::UnknownTarget { .. } => "unknownTarget",
            TrustError::BadTarget { .. } => "badTarget",
            TrustError::WrongHardware { .. } => "wrongHardware",
            TrustError::TooLarge { .. } => "tooLarge",
            TrustError::WrongBytes { .. } => "wrongBytes",
            TrustError::Disagreement { .. } => "disagreement",
            TrustError::State(_) => "state",
        }
    }

    /// Whether the same may go well later without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        matches!(self, TrustError::Unreachable { .. } | TrustError::State(_))
    }
}

/// Seconds since 1970 for people.
fn moment(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}
