//! Why a plugin was not put in, brought back or taken out.

use hotshoe_core::digest::Digest;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Refused, Untrusted};
use semver::Version;

use crate::plugin::{LoadError, RouteError};
use crate::state::StateError;

/// Why no plugin can be had at all.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The records cannot be read.
    #[error("the records of the plugins cannot be read: {0}")]
    State(#[from] StateError),
}

/// Why an operation was refused. Whatever it is, everything is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nobody who vouches for it is believed.
    #[error("the plugin is not trusted: {0}")]
    Untrusted(#[from] Untrusted),
    /// The file is too large.
    #[error("the plugin has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is no plugin.
    #[error("this is not a plugin: {0}")]
    NotAPlugin(String),
    /// It is another plugin or version than was asked for.
    #[error("the file holds {found}, and {wanted} was asked for")]
    NotExpected {
        /// What was asked for.
        wanted: String,
        /// What it says it is.
        found: String,
    },
    /// It needs what the policy does not grant.
    #[error("the plugin needs what it is not granted: {0}")]
    Denied(String),
    /// It does not compile.
    #[error("the plugin does not compile: {0}")]
    Compile(String),
    /// It does not fit the contract.
    #[error("the plugin does not fit this host: {0}")]
    Contract(String),
    /// Its start code fails.
    #[error("{0}")]
    Start(String),
    /// An older version would come back.
    #[error("{0}")]
    BelowFloor(Refused),
    /// It was rolled back before, and nobody asked for it by hand.
    #[error("{0}")]
    RolledBackBefore(Refused),
    /// Another plugin owns what it claims.
    #[error("{0}; remove that plugin first, or have the claim taken out of one of them")]
    Claimed(RouteError),
    /// It failed when it was offered an open job.
    #[error("version {version} failed when the job {job} was offered to it: {why}")]
    Adopt {
        /// The candidate's.
        version: Version,
        /// The job.
        job: String,
        /// How it failed.
        why: String,
    },
    /// The disk refused.
    #[error("the plugin was not stored: {0}")]
    Disk(String),
    /// A file of it cannot be read.
    #[error("the file cannot be read: {0}")]
    Unread(std::io::Error),
    /// It was not the plugin but the machine that refused: no process, no memory, no instance free.
    #[error("{0}")]
    Hindered(String),
    /// The component is not on the disk any more.
    #[error("the component {0} is missing or damaged on this device: install it again")]
    Missing(Digest),
    /// There is no such plugin.
    #[error("there is no plugin {0} on this device")]
    Unknown(PluginName),
    /// There is no version to go back to.
    #[error("there is no version of {0} to go back to")]
    NothingToRollBackTo(PluginName),
    /// Nothing waits to be granted.
    #[error("{0} asks for nothing that it does not have")]
    NothingHeld(PluginName),
    /// It stands in the device's image.
    #[error("{0} stands in the device's own image and cannot be removed: take it out of device.toml")]
    Factory(PluginName),
    /// There are too many plugins.
    #[error("there are {0} plugins on this device, which is the limit: remove one first")]
    TooMany(usize),
    /// The process ends.
    #[error("the device is shutting down; try again later")]
    Busy,
}

impl InstallError {
    /// The name for programs. Stays as it is over versions.
    pub fn code(&self) -> &'static str {
        match self {
            InstallError::Untrusted(_) => "untrusted",
            InstallError::TooLarge { .. } => "tooLarge",
            InstallError::NotAPlugin(_) => "notAPlugin",
            InstallError::NotExpected { .. } => "notExpected",
            InstallError::Denied(_) => "denied",
            InstallError::Compile(_) => "compile",
            InstallError::Contract(_) => "contract",
            InstallError::Start(_) => "start",
            InstallError::BelowFloor(_) => "belowFloor",
            InstallError::RolledBackBefore(_) => "rolledBackBefore",
            InstallError::Claimed(_) => "claimed",
            InstallError::Adopt { .. } => "adopt",
            InstallError::Disk(_) | InstallError::Unread(_) => "disk",
            InstallError::Missing(_) => "missing",
            InstallError::Unknown(_) => "unknownPlugin",
            InstallError::NothingToRollBackTo(_) => "nothingToRollBackTo",
            InstallError::NothingHeld(_) => "nothingHeld",
            InstallError::Factory(_) => "factory",
            InstallError::TooMany(_) => "tooMany",
            InstallError::Hindered(_) | InstallError::Busy => "busy",
        }
    }

    /// A status in the manner of HTTP.
    pub fn status(&self) -> i32 {
        match self {
            InstallError::NotAPlugin(_) | InstallError::NotExpected { .. } => 400,
            InstallError::Untrusted(_) | InstallError::Denied(_) => 403,
            InstallError::Unknown(_) => 404,
            InstallError::BelowFloor(_)
            | InstallError::RolledBackBefore(_)
            | InstallError::Claimed(_)
            | InstallError::NothingToRollBackTo(_)
            | InstallError::NothingHeld(_)
            | InstallError::Factory(_)
            | InstallError::TooMany(_) => 409,
            InstallError::TooLarge { .. } => 413,
            InstallError::Compile(_)
            | InstallError::Contract(_)
            | InstallError::Start(_)
            | InstallError::Adopt { .. } => 422,
            InstallError::Disk(_) | InstallError::Unread(_) | InstallError::Missing(_) => 507,
            InstallError::Hindered(_) | InstallError::Busy => 503,
        }
    }

    /// Whether the same may go well later without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            InstallError::Disk(_)
                | InstallError::Unread(_)
                | InstallError::Hindered(_)
                | InstallError::Busy
                // What was rolled back is left alone for a while only.
                | InstallError::RolledBackBefore(_)
        )
    }
}

impl From<Refused> for InstallError {
    fn from(refused: Refused) -> InstallError {
        match refused {
            Refused::BelowFloor { .. } => InstallError::BelowFloor(refused),
            Refused::RolledBackBefore { .. } => InstallError::RolledBackBefore(refused),
        }
    }
}

impl From<RouteError> for InstallError {
    fn from(error: RouteError) -> InstallError {
        InstallError::Claimed(error)
    }
}

impl From<LoadError> for InstallError {
    fn from(error: LoadError) -> InstallError {
        let text = error.to_string();
        let hindered = error.may_pass() || error.is_of_the_compiler();
        match error {
            LoadError::Compile(_) if hindered => InstallError::Hindered(text),
            LoadError::TooLarge { size, limit } => InstallError::TooLarge { size, limit },
            LoadError::Precompiled | LoadError::Package(_) => InstallError::NotAPlugin(text),
            LoadError::Denied(_) => InstallError::Denied(text),
            LoadError::Compile(_) => InstallError::Compile(text),
            LoadError::Incompatible(_)
            | LoadError::UnknownImport(_)
            | LoadError::Contract(_)
            | LoadError::Settings(_) => InstallError::Contract(text),
            LoadError::Start(_) => InstallError::Start(text),
            LoadError::Quotas(_) => InstallError::Disk(text),
            LoadError::Busy => InstallError::Hindered(text),
            LoadError::Interrupted(_) => InstallError::Busy,
        }
    }
}
