//! What a signed repository says about a file: its name there, and the member `custom` beside its digest.
//!
//! The names carry meaning, so that a vendor's key can be limited to a part of them and so that no file can be taken
//! for another kind: `plugins/<name>/<version>.wasm` is that plugin in that version and nothing else, `images/…` is a
//! firmware image. `custom` says the same again and what else the device must know before it takes the file: on which
//! hardware it runs, its digests by other algorithms, and what stands beside it. It is read strictly: a member that nobody knows might be a
//! condition, and a condition that is not understood is not met.
//!
//! This module reads, writes and compares. Who may sign which name is TUF's business, and the device's.

mod custom;
mod name;

use serde::{Deserialize, Serialize};

pub use custom::{Custom, OUTBOARD_SUFFIX, ZSTD_FRAME, ZSTD_SUFFIX};
pub use name::{DelegatedPath, NAME_LIMIT, NameError, TargetName};

/// Longest text of `custom` as JSON, in bytes.
pub const CUSTOM_LIMIT: usize = 16 * 1024;

/// The member of a signed `timestamp` (beside `expires`) that says when it was signed, as RFC 3339 text in UTC.
///
/// TUF itself signs only when metadata ends. A device whose clock was lost learns from this member that it is at least
/// so late, and counts expiry from there. It is optional; repositories made with `hotshoe repo` have it.
pub const ISSUED_MEMBER: &str = "x-hotshoe-issued";

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

/// Why a target's name and `custom` were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `custom` does not read.
    #[error("custom: {0}; wanted are kind, name, version, hardware, digests, outboard, zstd and sequence")]
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
    use super::*;

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
}
