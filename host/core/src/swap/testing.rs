//! Releases and records for the tests of this module.

use super::*;
use crate::digest::{Algorithm, Digest};
use crate::grants::Grants;

/// The moment of the tests, in milliseconds since the Unix epoch.
pub(super) const NOW: u64 = 1_800_000_000_000;

/// The digest of the release of this version.
pub(super) fn digest(major: u8) -> Digest {
    Digest { algorithm: Algorithm::Sha256, bytes: [major; 32] }
}

/// A signed release `major.0.0`, without any rights.
pub(super) fn release(major: u8) -> Release {
    Release {
        version: semver::Version::new(major.into(), 0, 0),
        digest: digest(major),
        origin: Origin::Signed {
            repository: "main".into(),
            target: format!("plugins/acme.pump/{major}.0.0.wasm"),
        },
        grants: Grants::default(),
        at: NOW,
    }
}

/// The same, asking for flash.
pub(super) fn greedy(major: u8) -> Release {
    Release { grants: Grants { flash: true, ..Grants::default() }, ..release(major) }
}

/// The same, in the device's image.
pub(super) fn factory(major: u8) -> Release {
    Release { origin: Origin::Factory { file: "pump.wasm".into() }, ..release(major) }
}

/// Version 2 live in this standing, version 1 before it.
pub(super) fn record(standing: Standing) -> Record {
    let mut record = Record::new("acme.pump".parse().unwrap());
    record.live = Some(release(2));
    record.previous = Some(release(1));
    record.floor = Some(semver::Version::new(1, 0, 0));
    record.standing = standing;
    record
}

pub(super) fn probation() -> Standing {
    Standing::Probation { until: NOW + 600_000, pause: 600_000 }
}

pub(super) fn recovering() -> Standing {
    Standing::Recovering { until: NOW + 600_000, pause: 600_000 }
}

pub(super) fn quarantined() -> Standing {
    Standing::Quarantined { until: NOW + 30_000, pause: 30_000, why: "it trapped".into() }
}
