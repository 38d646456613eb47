//! What a signed repository says about a file: its name there, and the member `custom` beside its digest.
//!
//! The names carry meaning, so that a vendor's key can be limited to a part of them and so that no file can be taken
//! for another kind: `plugins/<name>/<version>.wasm` is that plugin in that version and nothing else, `images/…` is a
//! firmware image. `custom` says the same again and what else the device must know before it takes the file: on which
//! hardware it runs, and its digests by other algorithms. It is read strictly: a member that nobody knows might be a
//! condition, and a condition that is not understood is not met.
//!
//! This module reads, writes and compares. Who may sign which name is TUF's business, and the device's.

mod name;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use name::{DelegatedPath, NAME_LIMIT, NameError, TargetName};

use crate::{
    digest::{Algorithm, Digest},
    manifest::PluginName,
};

/// Longest text of `custom` as JSON, in bytes.
pub const CUSTOM_LIMIT: usize = 16 * 1024;

/// The member of a signed `timestamp` (beside `expires`) that says when it was signed, as RFC 3339 text in UTC.
///
/// TUF itself signs only when metadata ends. A device whose clock was lost learns from this member that it is at least
/// so late, and counts expiry from there. It is optional; repositories made with `hotshoe repo` have it.
pub const ISSUED_MEMBER: &str = "x-hotshoe-issued";

/// Most hardware ids of one target.
const HARDWARE_LIMIT: usize = 256;

/// What a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A plugin: one component.
    Plugin,
    /// A firmware image.
    Firmware,
}

impl Kind {
    /// The word for it in messages and in `custom`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Plugin => "plugin",
            Kind::Firmware => "firmware",
        }
    }
}

/// The member `custom` of a target.
///
/// ```json
/// {"kind": "firmware", "name": "acme-gateway", "version": "2.0.0", "hardware": ["acme-gateway-2"],
///  "digests": ["blake3:…"]}
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Custom {
    /// What it is.
    pub kind: Kind,
    /// The plugin's name, or the image's: one line of at most 64 characters. A plugin's may be left out, the path
    /// says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version: a semantic one for a plugin (which the path says too), one line of at most 64 characters for an
    /// image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The hardware that it is for; on any when empty. A device takes it if it has one of these ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<String>,
    /// The same bytes' digests by other algorithms than TUF's own SHA-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
}

/// Why a target's name and `custom` were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `custom` does not read.
    #[error("custom: {0}; wanted are kind, name, version, hardware and digests")]
    Unreadable(String),
    /// `custom` is too long.
    #[error("custom: has {0} bytes, {CUSTOM_LIMIT} are the most")]
    TooLong(usize),
    /// A member of `custom` is out of its range.
    #[error("custom: {member}: {reason}")]
    Invalid {
        /// Which.
        member: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The name and `custom` say different things.
    #[error("the name says {member} `{name}`, custom says `{custom}`: the target contradicts itself")]
    Contradiction {
        /// About what.
        member: &'static str,
        /// What the name says.
        name: String,
        /// What `custom` says.
        custom: String,
    },
}

impl Custom {
    /// What a plugin's target says at least.
    pub fn plugin(name: &PluginName, version: &semver::Version) -> Self {
        Custom {
            kind: Kind::Plugin,
            name: Some(name.to_string()),
            version: Some(version.to_string()),
            hardware: Vec::new(),
            digests: Vec::new(),
        }
    }

    /// What a firmware image's target says at least.
    pub fn firmware() -> Self {
        Custom { kind: Kind::Firmware, name: None, version: None, hardware: Vec::new(), digests: Vec::new() }
    }

    /// Reads and checks the members of `custom` as they stand in the metadata.
    ///
    /// # Errors
    /// A member that nobody knows, one that is missing or out of its range.
    pub fn from_members(members: impl IntoIterator<Item = (String, Value)>) -> Result<Self, TargetError> {
        let value = Value::Object(members.into_iter().collect());
        let length = value.to_string().len();
        if length > CUSTOM_LIMIT {
            return Err(TargetError::TooLong(length));
        }
        let custom: Custom =
            serde_json::from_value(value).map_err(|error| TargetError::Unreadable(error.to_string()))?;
        custom.check()?;
        Ok(custom)
    }

    /// The members as they are to stand in the metadata.
    pub fn members(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members.into_iter().collect(),
            _ => BTreeMap::new(),
        }
    }

    /// Whether a device with these hardware ids may take it.
    pub fn fits(&self, hardware: &[String]) -> bool {
        self.hardware.is_empty() || self.hardware.iter().any(|id| hardware.contains(id))
    }

    /// Checks every member by itself. What was read by [`Custom::from_members`] has passed.
    ///
    /// # Errors
    /// See [`TargetError::Invalid`].
    pub fn check(&self) -> Result<(), TargetError> {
        for (member, text) in [("name", &self.name), ("version", &self.version)] {
            if let Some(text) = text {
                check_line(member, text, 64)?;
            }
        }
        if self.hardware.len() > HARDWARE_LIMIT {
            return Err(invalid("hardware", format!("{HARDWARE_LIMIT} ids are the most")));
        }
        self.hardware.iter().try_for_each(|id| check_hardware(id))?;
        for (index, digest) in self.digests.iter().enumerate() {
            if digest.algorithm == Algorithm::Sha256 {
                return Err(invalid("digests", "the SHA-256 stands in the target's own hashes".to_owned()));
            }
            if self.digests.iter().take(index).any(|other| other.algorithm == digest.algorithm) {
                return Err(invalid("digests", format!("{} stands there twice", digest.algorithm.name())));
            }
        }
        Ok(())
    }
}

/// Checks that a target's name and its `custom` agree.
///
/// # Errors
/// See [`TargetError::Contradiction`].
pub fn check(name: &TargetName, custom: &Custom) -> Result<(), TargetError> {
    let differs = |member, of_name: &str, of_custom: &str| {
        Err(TargetError::Contradiction { member, name: of_name.to_owned(), custom: of_custom.to_owned() })
    };
    if name.kind() != custom.kind {
        return differs("kind", name.kind().name(), custom.kind.name());
    }
    if let TargetName::Plugin { name, version } = name {
        let version = version.to_string();
        for (member, of_name, of_custom) in
            [("name", name.as_str(), &custom.name), ("version", version.as_str(), &custom.version)]
        {
            if let Some(of_custom) = of_custom
                && of_custom != of_name
            {
                return differs(member, of_name, of_custom);
            }
        }
    }
    Ok(())
}

/// Checks a hardware id: 1 to 64 of `a-z A-Z 0-9 . _ -`.
///
/// # Errors
/// See [`TargetError::Invalid`].
pub fn check_hardware(id: &str) -> Result<(), TargetError> {
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if id.is_empty() || id.len() > 64 || !plain {
        let shown: String = id.chars().take(80).collect();
        return Err(invalid(
            "hardware",
            format!("`{shown}` is not an id: 1 to 64 letters, digits and `._-`"),
        ));
    }
    Ok(())
}

fn check_line(member: &'static str, text: &str, most: usize) -> Result<(), TargetError> {
    if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(invalid(member, format!("is one line of 1 to {most} characters")));
    }
    Ok(())
}

fn invalid(member: &'static str, reason: String) -> TargetError {
    TargetError::Invalid { member, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Custom, TargetError> {
        Custom::from_members(value.as_object().unwrap().clone())
    }

    #[test]
    fn what_is_written_is_read() {
        let value = json!({
            "kind": "firmware", "name": "acme-gateway", "version": "2.0.0", "hardware": ["acme-gateway-2"],
            "digests": [format!("blake3:{}", "0".repeat(64))],
        });
        let custom = read(value.clone()).unwrap();
        assert_eq!(custom.kind, Kind::Firmware);
        assert_eq!(serde_json::to_value(custom.members()).unwrap(), value);
        assert_eq!(Custom::from_members(Custom::firmware().members()).unwrap(), Custom::firmware());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (value, part) in [
            (json!({}), "missing field `kind`"),
            (json!({"kind": "driver"}), "unknown variant `driver`"),
            (json!({"kind": "plugin", "until": 3}), "unknown field `until`"),
            (json!({"kind": "firmware", "version": ""}), "version: is one line"),
            (json!({"kind": "firmware", "name": "a\nb"}), "name: is one line"),
            (json!({"kind": "firmware", "hardware": ["a b"]}), "`a b` is not an id"),
            (json!({"kind": "firmware", "hardware": vec!["a"; 257]}), "256 ids are the most"),
            (json!({"kind": "firmware", "digests": ["md5:00"]}), "`md5` is unknown"),
            (
                json!({"kind": "firmware", "digests": [format!("sha256:{}", "0".repeat(64))]}),
                "the target's own hashes",
            ),
            (json!({"kind": "firmware", "name": "x".repeat(20_000)}), "16384 are the most"),
        ] {
            let told = read(value.clone()).unwrap_err().to_string();
            assert!(told.contains(part), "{value}: {told}");
        }
    }

    #[test]
    fn a_name_and_its_custom_agree() {
        let name: TargetName = "plugins/acme.pump/1.2.0.wasm".parse().unwrap();
        let custom = Custom::plugin(&"acme.pump".parse().unwrap(), &semver::Version::new(1, 2, 0));
        check(&name, &custom).unwrap();
        check(&name, &Custom { name: None, version: None, ..custom.clone() }).unwrap();
        let told = |custom: Custom| check(&name, &custom).unwrap_err().to_string();
        assert!(told(Custom::firmware()).contains("kind `plugin`"));
        assert!(told(Custom { name: Some("acme.valve".into()), ..custom.clone() }).contains("`acme.valve`"));
        assert!(told(Custom { version: Some("1.2.1".into()), ..custom }).contains("`1.2.1`"));
    }

    #[test]
    fn hardware() {
        let ids = ["acme-gateway-2".to_owned()];
        let mut custom = Custom::firmware();
        assert!(custom.fits(&ids) && custom.fits(&[]));
        custom.hardware = vec!["acme-gateway-3".to_owned()];
        assert!(!custom.fits(&ids) && !custom.fits(&[]));
        custom.hardware.push("acme-gateway-2".to_owned());
        assert!(custom.fits(&ids));
    }
}
