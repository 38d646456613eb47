//! What an operator sees of a plugin. Read again, as JSON, by the command line tool.

use std::collections::BTreeSet;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::record::{Record, Standing};
use super::release::Origin;
use crate::digest::Digest;
use crate::manifest::PluginName;

/// A plugin in a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginSummary {
    /// Its name.
    pub name: PluginName,
    /// The live version.
    pub version: Option<Version>,
    /// `factory` (settled, of the device's own image), `settled`, `probation`, `quarantined`, `held` (settled, and a
    /// version waits to be granted more), or `absent`.
    pub state: String,
    /// The version to which a rollback goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// The version that waits to be granted more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldSummary>,
    /// Other versions, which jobs still run on.
    #[serde(default)]
    pub pinned: Vec<Version>,
    /// Who vouches for the live release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The SHA-256 of the live release's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Since when it is live, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The version below which nothing is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Version>,
    /// How often it failed lately.
    #[serde(default)]
    pub strikes: u32,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A version that waits to be granted more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldSummary {
    /// The version.
    pub version: Version,
    /// Its digest.
    pub digest: Digest,
    /// What it asks for beyond what the live one has, a phrase each.
    pub wants: Vec<String>,
}

/// A plugin by itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDetail {
    /// What a list says.
    #[serde(flatten)]
    pub summary: PluginSummary,
    /// What it does, in a line, as its manifest has it.
    pub about: String,
    /// The contract it was built against.
    pub api: String,
    /// The methods it answers.
    pub methods: Vec<MethodSummary>,
    /// The reported properties it owns.
    pub reported: Vec<String>,
    /// Its section of the desired properties.
    pub desired: Option<String>,
    /// What it may do, a phrase each.
    pub grants: Vec<String>,
    /// What it asks for and does not get, a sentence each.
    pub denials: Vec<String>,
    /// What it has used of what it may use in a day.
    #[serde(default)]
    pub quotas: Vec<QuotaSummary>,
    /// What was rolled back.
    pub bad: Vec<BadSummary>,
}

/// How much a plugin has used of what it may use in a day, less what time has given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaSummary {
    /// Of what: `written into slots`, `downloaded`.
    pub what: String,
    /// Bytes that count as used.
    pub used: u64,
    /// Bytes in a day.
    pub quota: u64,
}

/// A method that a plugin answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodSummary {
    /// Its name.
    pub name: String,
    /// How long the plugin may take, in milliseconds.
    pub timeout_ms: u64,
}

/// A release that was rolled back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BadSummary {
    /// Its version.
    pub version: Version,
    /// Its digest.
    pub digest: Digest,
    /// Why.
    pub why: String,
    /// How often.
    pub times: u32,
}

impl Record {
    /// What a list says of it; `pinned` are the other versions that open jobs run on.
    pub fn summary(&self, pinned: &BTreeSet<Version>) -> PluginSummary {
        let factory = self.live.as_ref().is_some_and(|live| matches!(live.origin, Origin::Factory { .. }));
        let state = match &self.standing {
            Standing::Absent => "absent",
            Standing::Probation { .. } | Standing::Recovering { .. } => "probation",
            Standing::Quarantined { .. } => "quarantined",
            Standing::Settled if self.held.is_some() => "held",
            Standing::Settled if factory => "factory",
            Standing::Settled => "settled",
        };
        let trouble = match &self.standing {
            Standing::Quarantined { why, .. } => Some(why.clone()),
            _ => self.last.as_ref().map(|last| last.text.clone()),
        };
        let held = self.held.as_ref().map(|held| HeldSummary {
            version: held.release.version.clone(),
            digest: held.release.digest.clone(),
            wants: held.wants.clone(),
        });
        let live = self.live.as_ref();
        PluginSummary {
            name: self.name.clone(),
            version: live.map(|live| live.version.clone()),
            state: state.to_owned(),
            previous: self.previous.as_ref().map(|previous| previous.version.clone()),
            held,
            pinned: pinned.iter().cloned().collect(),
            origin: live.map(|live| live.origin.clone()),
            digest: live.map(|live| live.digest.clone()),
            since: live.map(|live| live.at),
            floor: self.floor.clone(),
            strikes: u32::try_from(self.strikes.len()).unwrap_or(u32::MAX),
            trouble,
        }
    }

    /// What was rolled back.
    pub fn rolled_back(&self) -> Vec<BadSummary> {
        let bad = self.bad.iter();
        bad.map(|(digest, bad)| BadSummary {
            version: bad.version.clone(),
            digest: digest.clone(),
            why: bad.why.clone(),
            times: bad.times,
        })
        .collect()
    }
}
