//! What is stored of a plugin: one file, written whole, so that what is on the disk is one state and never a mixture.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use serde::{Deserialize, Serialize};

use super::release::{Origin, Release};
use crate::digest::Digest;
use crate::manifest::PluginName;

/// A plugin as it stands on the disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name.
    pub name: PluginName,
    /// The release that answers calls. The one pointer there is.
    #[serde(default)]
    pub live: Option<Release>,
    /// How the live one stands.
    #[serde(default)]
    pub standing: Standing,
    /// The release to go back to: the last that had proved itself when the live one came.
    #[serde(default)]
    pub previous: Option<Release>,
    /// A release that asks for more than the live one has.
    #[serde(default)]
    pub held: Option<Held>,
    /// Releases that open jobs still run on.
    #[serde(default)]
    pub older: Vec<Release>,
    /// The highest version that has proved itself; nothing below it is installed.
    #[serde(default)]
    pub floor: Option<Version>,
    /// What was rolled back.
    #[serde(default)]
    pub bad: BTreeMap<Digest, Bad>,
    /// When the live one failed lately, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub strikes: Vec<u64>,
    /// How often in a row the live one was quarantined.
    #[serde(default)]
    pub rounds: u32,
    /// What went wrong last, until a version proves itself.
    #[serde(default)]
    pub last: Option<LastEvent>,
}

/// How the live release stands.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// There is none.
    #[default]
    Absent,
    /// It is new: one strike and the previous one is back.
    Probation {
        /// When that is over, in milliseconds since the Unix epoch.
        until: u64,
        /// How long it was when it began, in milliseconds.
        pause: u64,
    },
    /// It has proved itself.
    Settled,
    /// It failed too often and is not entered.
    Quarantined {
        /// When it is tried again, in milliseconds since the Unix epoch.
        until: u64,
        /// How long it was when it began, in milliseconds.
        pause: u64,
        /// Why.
        why: String,
    },
    /// It is back from quarantine: one strike and it is there again, for longer.
    Recovering {
        /// When that is over, in milliseconds since the Unix epoch.
        until: u64,
        /// How long it was when it began, in milliseconds.
        pause: u64,
    },
}

/// A release that waits for somebody to grant what it asks for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The release, with all that it asks for and the policy allows.
    pub release: Release,
    /// What of that the live release does not have, a phrase each.
    pub wants: Vec<String>,
}

/// A release that was rolled back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bad {
    /// Its version.
    pub version: Version,
    /// Why.
    pub why: String,
    /// How often by now.
    pub times: u32,
    /// When the desired properties may bring it again, in milliseconds since the Unix epoch.
    pub until: u64,
    /// How long that was when it began, in milliseconds.
    pub pause: u64,
}

/// What went wrong last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastEvent {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What, in a sentence.
    pub text: String,
}

impl Record {
    /// A plugin that was never on the device.
    pub fn new(name: PluginName) -> Record {
        Record {
            name,
            live: None,
            standing: Standing::Absent,
            previous: None,
            held: None,
            older: Vec::new(),
            floor: None,
            bad: BTreeMap::new(),
            strikes: Vec::new(),
            rounds: 0,
            last: None,
        }
    }

    /// Whether this release is the live one.
    pub fn is_live(&self, digest: &Digest) -> bool {
        self.live.as_ref().is_some_and(|live| live.digest == *digest)
    }

    /// All releases whose component must stay on the disk.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        let held = self.held.as_ref().map(|held| &held.release);
        self.live.iter().chain(&self.previous).chain(held).chain(&self.older)
    }

    /// The release with this digest.
    pub fn release(&self, digest: &Digest) -> Option<&Release> {
        self.releases().find(|release| release.digest == *digest)
    }

    /// The digests of [`releases`](Record::releases).
    pub fn needed(&self) -> BTreeSet<&Digest> {
        self.releases().map(|release| &release.digest).collect()
    }

    /// What to try at the start, best first, given the release that stands in the device's image.
    ///
    /// A live factory release follows the image, whose own is first whatever its version. Of the rest the live one is
    /// first, unless the image brings a newer one that was not rolled back before. Behind it is what to fall back to.
    pub fn candidates(&self, factory: Option<&Release>) -> Vec<Release> {
        let of_image = self.live.as_ref().is_some_and(|live| matches!(live.origin, Origin::Factory { .. }));
        let newer = factory.filter(|factory| {
            let known = self.live.as_ref().map(|live| &live.version);
            known.is_none_or(|known| factory.version.cmp_precedence(known).is_gt())
                && !self.bad.contains_key(&factory.digest)
        });
        let first = if of_image { factory } else { newer };
        let (live, previous) = (self.live.as_ref(), self.previous.as_ref());
        let mut list: Vec<Release> = Vec::new();
        for release in first.into_iter().chain(live).chain(previous).chain(factory) {
            if !list.iter().any(|other| other.digest == release.digest) {
                list.push(release.clone());
            }
        }
        list
    }
}
