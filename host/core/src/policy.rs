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
//! downgrade = false
//!
//! [update]
//! windows = ["Mon-Fri 01:00-05:00", "Sat,Sun 22:00-06:00"]
//! offset = "+01:00"
//! check = { plugin = "acme.battery", method = "mayUpdate" }
//!
//! [download]
//! cap = ["200MiB/day", "2GiB/month"]
//! private = ["10.20.0.0/16"]
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
//! flash_per_day = "16GiB"
//! download_per_day = "4GiB"
//! ```

pub mod floor;
mod plugins;
pub mod quota;
pub mod traffic;
pub mod update;

use std::collections::BTreeMap;

use serde::Deserialize;

use self::plugins::Tables;
use self::quota::Quota;
use self::traffic::DownloadPolicy;
use self::update::UpdatePolicy;

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
    /// When an image may be armed.
    pub update: UpdatePolicy,
    /// What fetched files may take of the link.
    pub download: DownloadPolicy,
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
    /// Whether a signed image below the highest of its name that was confirmed may be staged.
    pub downgrade: bool,
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
    /// How many bytes it may write into slots in a day; none where the device's own bound holds.
    pub flash_per_day: Option<Quota>,
    /// How many bytes it may download in a day; none where the device's own bound holds.
    pub download_per_day: Option<Quota>,
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
    update: UpdatePolicy,
    download: DownloadPolicy,
    plugins: Tables,
}

/// Reads and checks a `policy.toml`.
pub fn parse(text: &str) -> Result<Policy, PolicyError> {
    let mut document: Document = strict::from_toml(text)?;
    let Tables { install, mut tables } = std::mem::take(&mut document.plugins);
    let others = tables.remove("*");
    let plugins = tables
        .into_iter()
        .map(|(name, allowed)| Ok((name.parse()?, allowed)))
        .collect::<Result<_, PolicyError>>()?;
    let Document { firmware, update, download, .. } = document;
    Ok(Policy { firmware, update, download, install, plugins, others })
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
        assert!(told("plugins.\"*\".flash_per_day = \"0\"").contains("leave out the grant"));
        assert!(told("plugins.\"*\".flash_per_day = \"a lot\"").contains("line 1"));
        assert!(told("plugins.\"*\".storage = 64").contains("line 1: invalid type: integer"));
    }

    #[test]
    fn windows_caps_and_checks() {
        let policy = parse(
            "[firmware]\ndowngrade = true\n[update]\nwindows = [\"Mon-Fri 01:00-05:00\"]\noffset = \"+02:00\"\n\
             clock = \"any\"\ndownload = \"window\"\ncheck = { plugin = \"acme.battery\", method = \"mayUpdate\" }\n\
             [download]\ncap = [\"200MiB/day\", \"2GiB/month\"]\nmetered = true\n",
        )
        .unwrap();
        assert!(policy.firmware.downgrade && policy.download.is_capped());
        assert_eq!(policy.update.windows.len(), 1);
        assert_eq!(policy.update.check.unwrap().method, "mayUpdate");
        assert_eq!(parse("[download]\ncap = \"1GiB/month\"").unwrap().download.cap.len(), 1);
        let private = parse("[download]\nprivate = [\"10.0.0.0/8\", \"fd00::/8\"]").unwrap().download.private;
        assert_eq!(private.len(), 2);
        let told = |text: &str| parse(text).unwrap_err().to_string();
        for (text, said) in [
            ("[update]\nwindow = []", "key `window` is unknown; did you mean `windows`?"),
            ("[update]\nwindows = [\"nights\"]", "line 2: `nights` is not a window"),
            ("[update]\noffset = \"Europe/Berlin\"", "line 2: `Europe/Berlin` is not an offset"),
            ("[update]\nclock = \"no\"", "value `no` is unknown"),
            ("[update]\ncheck = { plugin = \"Acme\", method = \"m\" }", "`Acme` is not a plugin's name"),
            ("[update]\ncheck = { plugin = \"acme.b\" }", "missing field `method`"),
            ("[download]\ncap = \"200MiB\"", "like `200MiB/day`"),
            ("[download]\ncap = [\"1MiB/day\", \"2MiB/day\"]", "a second cap"),
            ("[download]\ncap = 5", "a cap like"),
            ("[download]\nprivate = [\"10.0.0.1\"]", "line 2: `10.0.0.1` is no range of addresses"),
            ("[download]\nmetred = true", "did you mean `metered`?"),
        ] {
            assert!(told(text).contains(said), "{text}: {}", told(text));
        }
    }
}
