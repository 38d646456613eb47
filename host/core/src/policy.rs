//! `policy.toml`: what the device's owner allows.
//!
//! Nothing is allowed that is not written: without a file everything is denied. A plugin's own table holds for it
//! alone and whole; `[plugins."*"]` holds for those that have none. The two are not added up, so that one can read off
//! one table what a plugin may do. Beside the tables stand `unsigned` and `downgrade`, about putting plugins on the
//! device at all.
//!
//! ```toml
//! [firmware]
//! unsigned = "digest"
//!
//! [plugins]
//! unsigned = "deny"
//! downgrade = false
//!
//! [plugins."hotshoe.firmware-update"]
//! download = ["https://images.example.com/"]
//! flash = true
//! restart = true
//! storage = "64KiB"
//! telemetry = true
//! ```

mod plugins;

use std::collections::BTreeMap;

use serde::Deserialize;

use self::plugins::Tables;

use crate::{
    grants::UrlPattern,
    manifest::PluginName,
    strict::{self, StrictError},
    units,
};

/// What the device's owner allows. The default denies all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Policy {
    /// About firmware images.
    pub firmware: FirmwarePolicy,
    /// About putting plugins on the device.
    pub install: InstallPolicy,
    /// What each plugin may have at most.
    pub plugins: BTreeMap<PluginName, Allowed>,
    /// What a plugin without a table of its own may have at most: the table `"*"`.
    pub others: Option<Allowed>,
}

impl Policy {
    /// What a plugin may have at most; none when the policy does not speak of it.
    pub fn allowed(&self, name: &PluginName) -> Option<&Allowed> {
        self.plugins.get(name).or(self.others.as_ref())
    }
}

/// About firmware images.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirmwarePolicy {
    /// What becomes of images that no signed target covers.
    pub unsigned: Unsigned,
}

/// About putting plugins on the device.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct InstallPolicy {
    /// What becomes of plugins that no signed target covers.
    pub unsigned: Unsigned,
    /// Whether a version below the highest that has proved itself may be installed.
    pub downgrade: bool,
}

/// What becomes of files (firmware images, plugins) that no signed target covers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// They are refused.
    #[default]
    Deny,
    /// A digest vouches for them: in the method's payload, in the desired properties, or in a `.sha256` file beside an
    /// image.
    Digest,
    /// They are taken as served. For development only.
    Allow,
}

/// What a plugin may have at most. Nothing unless it says so.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// From where files may be fetched.
    pub download: Vec<UrlPattern>,
    /// Whether slots may be written and armed.
    pub flash: bool,
    /// Whether a job may restart the device.
    pub restart: bool,
    /// How many bytes of its own it may keep.
    #[serde(with = "units::size")]
    pub storage: u64,
    /// Whether messages may be sent to the cloud.
    pub telemetry: bool,
}

/// Why a policy was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// It does not read.
    #[error("policy.toml: {0}")]
    Strict(#[from] StrictError),
    /// A table under `plugins` is not named after a plugin.
    #[error("policy.toml: plugins: {0}; or `*` for all that have no table of their own")]
    Name(#[from] crate::manifest::NameError),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    firmware: FirmwarePolicy,
    plugins: Tables,
}

/// Reads and checks a `policy.toml`.
pub fn parse(text: &str) -> Result<Policy, PolicyError> {
    let document: Document = strict::from_toml(text)?;
    let Tables { install, mut tables } = document.plugins;
    let others = tables.remove("*");
    let plugins = tables
        .into_iter()
        .map(|(name, allowed)| Ok((name.parse()?, allowed)))
        .collect::<Result<_, PolicyError>>()?;
    Ok(Policy { firmware: document.firmware, install, plugins, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_is_nothing_allowed() {
        assert_eq!(parse("").unwrap(), Policy::default());
        assert_eq!(Policy::default().firmware.unsigned, Unsigned::Deny);
        assert_eq!(Policy::default().allowed(&"a".parse().unwrap()), None);
    }

    #[test]
    fn the_three_values() {
        for (text, value) in
            [("deny", Unsigned::Deny), ("digest", Unsigned::Digest), ("allow", Unsigned::Allow)]
        {
            assert_eq!(
                parse(&format!("[firmware]\nunsigned = \"{text}\"")).unwrap().firmware.unsigned,
                value
            );
        }
        assert_eq!(
            parse("[firmware]\nunsigned = \"allowed\"").unwrap_err().to_string(),
            "policy.toml: line 2: value `allowed` is unknown; did you mean `allow`?"
        );
    }

    #[test]
    fn about_installing_stands_beside_the_tables() {
        let text =
            "[plugins]\nunsigned = \"allow\"\ndowngrade = true\n[plugins.\"acme.pump\"]\nflash = true\n";
        let policy = parse(text).unwrap();
        assert_eq!(policy.install, InstallPolicy { unsigned: Unsigned::Allow, downgrade: true });
        assert!(policy.allowed(&"acme.pump".parse().unwrap()).unwrap().flash);
        assert_eq!(Policy::default().install, InstallPolicy { unsigned: Unsigned::Deny, downgrade: false });
    }

    #[test]
    fn mistakes_are_named() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            told("[plugins.\"acme.pump\"]\nflash = true\nrestat = true"),
            "policy.toml: line 3: key `restat` is unknown; did you mean `restart`?"
        );
        assert_eq!(told("[plugin]"), "policy.toml: line 1: key `plugin` is unknown; did you mean `plugins`?");
        assert!(told("[plugins.\"Acme\"]").contains("`Acme` is not a plugin's name"));
        assert!(told("[plugins.\"acme.*\"]").contains("or `*` for all"));
        assert!(
            told("plugins.\"*\".download = [\"http://x/\"]")
                .contains("line 1: `http://x/` is not a URL pattern")
        );
        assert!(told("plugins.\"*\".storage = \"64\"").contains("`64` has no known unit"));
        assert_eq!(
            told("[plugins]\nunsgned = \"deny\""),
            "policy.toml: line 2: key `unsgned` is unknown; did you mean `unsigned`?"
        );
        assert_eq!(
            told("[plugins]\nunsigned = \"denied\""),
            "policy.toml: line 2: value `denied` is unknown; did you mean `deny`?"
        );
        assert!(told("[plugins]\ndowngrade = 1").contains("line 2: invalid type: integer"));
        assert!(told("plugins.\"*\".storage = 64").contains("line 1: invalid type: integer"));
    }
}
