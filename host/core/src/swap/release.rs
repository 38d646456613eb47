//! One version of a plugin as a file: what it is, who vouches for it, what it runs with.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::grants::Grants;
use crate::policy::Unsigned;

/// Who vouches for a release.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// It stands in the device's own image.
    Factory {
        /// Its file there.
        file: String,
    },
    /// A signed repository.
    Signed {
        /// The repository's name in the configuration.
        repository: String,
        /// The target's name in it.
        target: String,
    },
    /// A digest, named by whoever asked for it.
    Digest,
    /// Nobody.
    Unsigned,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Factory { file } => write!(formatter, "the device's own image ({file})"),
            Origin::Signed { repository, target } => {
                write!(formatter, "signed in the repository {repository} as {target}")
            }
            Origin::Digest => formatter.write_str("vouched for by a digest"),
            Origin::Unsigned => formatter.write_str("unsigned"),
        }
    }
}

/// One version of a plugin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// The SHA-256 of the component's file.
    pub digest: Digest,
    /// Who vouches for it.
    pub origin: Origin,
    /// What it may do at most; the policy of the day may allow less.
    pub grants: Grants,
    /// Since when it is live, or was offered, in milliseconds since the Unix epoch.
    pub at: u64,
}

/// How far a candidate has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Its bytes are there, and it is what was asked for.
    Received,
    /// Somebody vouches for it whom the policy believes.
    Trusted,
    /// It is native code.
    Compiled,
    /// It reaches what it was granted, and claims nothing of another plugin.
    Linked,
    /// The open jobs of the plugin were offered to it.
    Adopting,
    /// Calls go to it.
    Live,
}

/// Who wants a release.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Demand {
    /// Somebody, now: what was rolled back before is tried again.
    #[default]
    Explicit,
    /// The desired properties, which say the same for ever: what was rolled back is left alone for a growing time.
    Desired,
}

/// Why nobody who vouches for a release is believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Untrusted {
    /// It is not signed, and the policy wants that.
    #[error(
        "no signed repository of this device covers it, and the policy plugins.unsigned is {policy}: publish it in a \
         repository that the device knows, or set plugins.unsigned in policy.toml"
    )]
    Unsigned {
        /// What the policy says.
        policy: &'static str,
    },
    /// It claims to stand in the device's image, which only the configuration can say.
    #[error("a plugin from outside cannot stand in the device's own image")]
    Factory,
}

/// Whether a candidate from outside is believed under the policy `plugins.unsigned`.
///
/// # Errors
/// See [`Untrusted`].
pub fn trusted(origin: &Origin, policy: Unsigned) -> Result<(), Untrusted> {
    match (origin, policy) {
        (Origin::Signed { .. }, _) | (Origin::Digest, Unsigned::Digest) => Ok(()),
        (Origin::Digest | Origin::Unsigned, Unsigned::Allow) => Ok(()),
        (Origin::Unsigned, Unsigned::Digest) => Err(Untrusted::Unsigned { policy: "digest" }),
        (Origin::Digest | Origin::Unsigned, Unsigned::Deny) => Err(Untrusted::Unsigned { policy: "deny" }),
        (Origin::Factory { .. }, _) => Err(Untrusted::Factory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_believed_under_which_policy() {
        let signed = Origin::Signed { repository: "main".into(), target: "plugins/a/1.0.0.wasm".into() };
        for policy in [Unsigned::Deny, Unsigned::Digest, Unsigned::Allow] {
            assert_eq!(trusted(&signed, policy), Ok(()));
            let factory = Origin::Factory { file: "pump.wasm".into() };
            assert_eq!(trusted(&factory, policy), Err(Untrusted::Factory));
        }
        assert!(trusted(&Origin::Digest, Unsigned::Deny).is_err());
        assert!(trusted(&Origin::Digest, Unsigned::Digest).is_ok());
        assert!(trusted(&Origin::Digest, Unsigned::Allow).is_ok());
        assert!(trusted(&Origin::Unsigned, Unsigned::Deny).is_err());
        let told = trusted(&Origin::Unsigned, Unsigned::Digest).unwrap_err().to_string();
        assert!(told.contains("plugins.unsigned is digest"), "{told}");
        assert!(trusted(&Origin::Unsigned, Unsigned::Allow).is_ok());
    }
}
