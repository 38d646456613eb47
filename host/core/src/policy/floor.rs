//! Minimum versions: an image that was confirmed once keeps older ones of its name out.
//!
//! An attacker who holds back nothing and forges nothing can still offer a device an old image whose holes are known:
//! it is signed. So the device remembers, for each name, the highest that it has *confirmed*, and refuses what is below.
//! A trial that was not confirmed raises nothing, or a bad release would lock the device out of the good one before.
//!
//! Compared is the `sequence` where both have one, else the version where both are semantic ones. What cannot be
//! compared with a floor is refused like what is below it: a name that has once counted goes on counting.

use semver::Version;
use serde::{Deserialize, Serialize};

/// What a signed image says of its place among those of its name.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rank {
    /// Its version, semantic or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its number, where versions are no semantic ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// Why an image is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{name} {image} is {how} {floor}, which this device has confirmed: order that or a newer one, or let the operator \
     set `downgrade = true` under [firmware] of the device's policy"
)]
pub struct BelowFloor {
    /// The images' name.
    pub name: String,
    /// The one that is refused.
    pub image: String,
    /// `below`, or that they cannot be compared.
    pub how: &'static str,
    /// What it is measured against.
    pub floor: String,
}

impl Rank {
    fn semantic(&self) -> Option<Version> {
        self.version.as_deref().and_then(|version| Version::parse(version.trim_start_matches('v')).ok())
    }

    /// Whether it can be compared with anything at all.
    pub fn counts(&self) -> bool {
        self.sequence.is_some() || self.semantic().is_some()
    }

    /// How it stands to another; none where that cannot be said.
    fn compare(&self, other: &Rank) -> Option<std::cmp::Ordering> {
        if let (Some(own), Some(other)) = (self.sequence, other.sequence) {
            return Some(own.cmp(&other));
        }
        // Not by `Ord`, which would have builds of one version be below each other.
        Some(self.semantic()?.cmp_precedence(&other.semantic()?))
    }

    /// The floor after this image was confirmed over it. One that cannot be compared takes its place if it counts: the
    /// operator has let it in.
    #[must_use]
    pub fn raised_by(&self, confirmed: &Rank) -> Rank {
        match confirmed.compare(self) {
            Some(std::cmp::Ordering::Less) => self.clone(),
            Some(_) => confirmed.clone(),
            None if confirmed.counts() => confirmed.clone(),
            None => self.clone(),
        }
    }

    /// Checks an image of this name against this floor.
    ///
    /// # Errors
    /// [`BelowFloor`].
    pub fn check(&self, name: &str, image: &Rank) -> Result<(), BelowFloor> {
        if !self.counts() {
            return Ok(());
        }
        let how = match image.compare(self) {
            Some(std::cmp::Ordering::Less) => "below",
            Some(_) => return Ok(()),
            None => "not comparable with",
        };
        Err(BelowFloor { name: name.to_owned(), image: image.to_string(), how, floor: self.to_string() })
    }
}

impl std::fmt::Display for Rank {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.version, self.sequence) {
            (Some(version), Some(sequence)) => write!(formatter, "{version} (sequence {sequence})"),
            (Some(version), None) => formatter.write_str(version),
            (None, Some(sequence)) => write!(formatter, "sequence {sequence}"),
            (None, None) => formatter.write_str("without a version"),
        }
    }
}

/// The name that a target's images are counted under: the signed one, else the directory that the target stands in.
pub fn name_of<'a>(signed: Option<&'a str>, target: &'a str) -> &'a str {
    signed.unwrap_or_else(|| target.rsplit_once('/').map_or(target, |(directory, _)| directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(version: Option<&str>, sequence: Option<u64>) -> Rank {
        Rank { version: version.map(str::to_owned), sequence }
    }

    #[test]
    fn what_is_below_is_refused_with_both_named() {
        let floor = rank(Some("2.1.0"), None);
        for (version, taken) in [
            ("2.1.0", true),
            ("2.1.0+7", true),
            ("2.2.0", true),
            ("10.0.0", true),
            ("2.0.9", false),
            ("2.1.0-rc.1", false),
        ] {
            assert_eq!(floor.check("gateway", &rank(Some(version), None)).is_ok(), taken, "{version}");
        }
        let told = floor.check("gateway", &rank(Some("2.0.9"), None)).unwrap_err().to_string();
        assert!(
            told.starts_with("gateway 2.0.9 is below 2.1.0, which") && told.contains("downgrade = true"),
            "{told}"
        );
    }

    #[test]
    fn a_sequence_counts_before_the_version() {
        let floor = rank(Some("winter"), Some(7));
        assert!(floor.check("g", &rank(Some("spring"), Some(8))).is_ok());
        assert!(floor.check("g", &rank(Some("winter"), Some(7))).is_ok());
        assert!(floor.check("g", &rank(Some("99.0.0"), Some(6))).is_err());
        let told = floor.check("g", &rank(Some("99.0.0"), None)).unwrap_err().to_string();
        assert!(told.contains("not comparable with winter (sequence 7)"), "{told}");
    }

    #[test]
    fn a_floor_rises_and_never_falls() {
        let floor = rank(Some("2.1.0"), None);
        assert_eq!(floor.raised_by(&rank(Some("2.0.0"), None)), floor);
        assert_eq!(floor.raised_by(&rank(None, None)), floor);
        let newer = rank(Some("2.2.0"), Some(3));
        assert_eq!(floor.raised_by(&newer), newer);
        assert_eq!(Rank::default().raised_by(&floor), floor);
        assert!(Rank::default().check("g", &rank(None, None)).is_ok(), "nothing was confirmed that counts");
    }

    #[test]
    fn names_are_signed_or_directories() {
        assert_eq!(name_of(Some("gateway"), "images/acme/fw.img"), "gateway");
        assert_eq!(name_of(None, "images/acme/fw-2.0.0.img"), "images/acme");
        assert_eq!(name_of(None, "fw.img"), "fw.img");
    }
}
