//! `plugin.toml`: what a plugin says about itself.
//!
//! Read strictly ([`crate::strict`]) and checked whole before anything is mounted. It stands inside the component as
//! a custom section ([`crate::package`]), so that one signature covers both. What it asks for is not what it gets:
//! see [`crate::grants`].
//!
//! ```toml
//! name = "hotshoe.firmware-update"
//! version = "0.1.0"
//! summary = "Updates the firmware"
//! api = "hotshoe:plugin@0.1.0"
//! reported = ["firmwareStatus"]
//! desired = "firmware"
//!
//! [[methods]]
//! name = "firmwareUpdate"
//! timeout = "5s"
//!
//! [grants]
//! download = ["https://*:*/"]
//! flash = true
//! restart = true
//! storage = "64KiB"
//! telemetry = true
//!
//! [limits]
//! memory = "32MiB"
//! run = "6h"
//! ```

mod name;

use std::time::Duration;

use serde::Deserialize;

pub use name::{NameError, PluginName};

use crate::{
    grants::UrlPattern,
    strict::{self, StrictError},
    twin, units,
};

/// The contract that this host serves: the newest version of its track.
pub const API: &str = "hotshoe:plugin@0.1.1";

/// What the names of all versions of the track begin with. They match each other, older and newer ones, as long as a
/// plugin calls no function that the host does not have; linking tells.
const TRACK: &str = "hotshoe:plugin@0.1.";

/// The longest a caller waits for a direct method (iothub.md §3).
const TIMEOUT_MOST: Duration = Duration::from_secs(300);
const MEMORY_LEAST: u64 = 1 << 20;
const MEMORY_MOST: u64 = 1 << 30;

/// What a plugin says about itself.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: semver::Version,
    /// What it does, in a line. At most 200 characters.
    #[serde(default)]
    pub summary: String,
    /// The contract it was built against: [`API`].
    pub api: String,
    /// The direct methods it answers.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// The reported properties it owns, as dotted paths: `firmwareStatus`, `iothubDM.reboot`. See
    /// [`twin::check_owned`].
    #[serde(default)]
    pub reported: Vec<String>,
    /// The outermost key of the desired properties that it is given.
    #[serde(default)]
    pub desired: Option<String>,
    /// What it asks for.
    #[serde(default)]
    pub grants: Asked,
    /// What it needs of the machine.
    #[serde(default)]
    pub limits: Limits,
}

/// A direct method.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name, compared byte for byte.
    pub name: String,
    /// How long the plugin may take to answer: 5 s unless it says otherwise, at most 300 s.
    #[serde(default = "default_timeout", with = "units::duration")]
    pub timeout: Duration,
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

/// What a plugin asks for. Nothing unless it says so.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// To fetch files from these URLs.
    pub download: Vec<UrlPattern>,
    /// To write and arm slots.
    pub flash: bool,
    /// To restart the device.
    pub restart: bool,
    /// To keep this many bytes of its own.
    #[serde(with = "units::size")]
    pub storage: u64,
    /// To send messages to the cloud.
    pub telemetry: bool,
}

/// What one instance may take.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory in bytes: 32 MiB unless it says otherwise, 1 MiB to 1 GiB.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// How long one run of a job may take, waiting for the network included: 6 hours unless it says otherwise.
    #[serde(with = "units::duration")]
    pub run: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory: 32 << 20, run: Duration::from_secs(6 * 3600) }
    }
}

/// Why a manifest was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ManifestError {
    /// It does not read.
    #[error("plugin.toml: {0}")]
    Strict(#[from] StrictError),
    /// It was built against another contract.
    #[error("plugin.toml: api `{found}` is not served by this host: it serves `{API}` and all of `{TRACK}x`")]
    Api {
        /// What it names.
        found: String,
    },
    /// It reads, and a value cannot be.
    #[error("plugin.toml: {key}: {reason}")]
    Invalid {
        /// Which key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads and checks a `plugin.toml`.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let manifest: Manifest = strict::from_toml(text)?;
    check(&manifest)?;
    Ok(manifest)
}

fn invalid(key: &str, reason: impl Into<String>) -> ManifestError {
    ManifestError::Invalid { key: key.to_owned(), reason: reason.into() }
}

fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let number = manifest.api.strip_prefix(TRACK).and_then(|number| number.parse::<u32>().ok());
    if number.is_none_or(|number| manifest.api != format!("{TRACK}{number}")) {
        return Err(ManifestError::Api { found: manifest.api.chars().take(80).collect() });
    }
    if manifest.summary.chars().count() > 200 || manifest.summary.chars().any(char::is_control) {
        return Err(invalid("summary", "is a line of at most 200 characters"));
    }
    for (index, method) in manifest.methods.iter().enumerate() {
        check_method(method)?;
        if manifest.methods.iter().take(index).any(|other| other.name == method.name) {
            return Err(invalid("methods", format!("`{}` stands there twice", method.name)));
        }
    }
    for (index, path) in manifest.reported.iter().enumerate() {
        check_path(path)?;
        if let Some(other) = manifest.reported.iter().take(index).find(|other| twin::overlap(other, path)) {
            return Err(invalid(
                "reported",
                format!("`{path}` and `{other}` overlap: name the outer one alone"),
            ));
        }
    }
    if let Some(key) = &manifest.desired {
        check_property("desired", key)?;
        if key == "hotshoe" {
            return Err(invalid("desired", "the key `hotshoe` is the host's own"));
        }
    }
    if !(MEMORY_LEAST..=MEMORY_MOST).contains(&manifest.limits.memory) {
        return Err(invalid("limits.memory", "is 1MiB to 1GiB"));
    }
    if manifest.limits.run.is_zero() {
        return Err(invalid("limits.run", "is more than nothing"));
    }
    Ok(())
}

fn check_method(method: &Method) -> Result<(), ManifestError> {
    let Method { name, timeout } = method;
    let forbidden = "$()<>@,;:\\\"/[]?={}";
    let plain = name.chars().all(|character| character.is_ascii_graphic() && !forbidden.contains(character));
    if name.is_empty() || name.len() > 100 || !plain {
        let reason = format!("`{name}` is not a name: 1 to 100 visible ASCII characters but {forbidden}");
        return Err(invalid("methods.name", reason));
    }
    if name.starts_with("hotshoe.") {
        return Err(invalid("methods.name", format!("`{name}`: the prefix `hotshoe.` is the host's own")));
    }
    if timeout.is_zero() || *timeout > TIMEOUT_MOST {
        return Err(invalid("methods.timeout", format!("of `{name}` is more than nothing and at most 300s")));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), ManifestError> {
    let depth = path.split('.').count();
    if depth > twin::DEPTH_LIMIT {
        return Err(invalid(
            "reported",
            format!("`{path}` has {depth} keys, the twin is {} deep", twin::DEPTH_LIMIT),
        ));
    }
    if path == "hotshoe" || path.starts_with("hotshoe.") {
        return Err(invalid("reported", format!("`{path}`: the key `hotshoe` is the host's own")));
    }
    path.split('.').try_for_each(|key| check_property("reported", key))
}

fn check_property(list: &str, key: &str) -> Result<(), ManifestError> {
    if key.is_empty() {
        return Err(invalid(list, "a key is not empty"));
    }
    if let Err(reason) = twin::check_key(key) {
        return Err(invalid(list, format!("the key `{key}` {reason}")));
    }
    Ok(())
}
