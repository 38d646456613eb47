//! The member `custom` of a target: its members, and each checked by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CUSTOM_LIMIT, Kind, TargetError, check_hardware, check_line, invalid};
use crate::{
    digest::{Algorithm, Digest},
    manifest::PluginName,
};

/// What the file of an image's hash tree is called after the image's name.
pub const OUTBOARD_SUFFIX: &str = ".obao";

/// What the file of a compressed image is called after the image's name.
pub const ZSTD_SUFFIX: &str = ".zst";

/// How many bytes of the image each frame of a compressed image holds; the last one may hold fewer.
pub const ZSTD_FRAME: u32 = 1024 * 1024;

/// Most hardware ids of one target.
const HARDWARE_LIMIT: usize = 256;

/// The member `custom` of a target.
///
/// ```json
/// {"kind": "firmware", "name": "acme-gateway", "version": "2.0.0", "hardware": ["acme-gateway-2"],
///  "digests": ["blake3:…"], "outboard": true, "zstd": true, "sequence": 41}
/// ```
///
/// `outboard` and `zstd` promise files beside the image, by its name and a suffix. Neither needs a signature of its own:
/// the BLAKE3 digest among `digests` is the root by which every chunk of the image is checked, whichever way it came.
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
    /// An image: its hash tree stands beside it under [`OUTBOARD_SUFFIX`], a Bao outboard of 64 KiB groups in
    /// pre-order without a length before it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outboard: bool,
    /// An image: it stands beside itself compressed under [`ZSTD_SUFFIX`], as zstd frames one after another, each of
    /// [`ZSTD_FRAME`] bytes of the image, the last one of the rest.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zstd: bool,
    /// An image: its place among the images of its name, where versions do not say which is the newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

impl Custom {
    /// What a plugin's target says at least.
    pub fn plugin(name: &PluginName, version: &semver::Version) -> Self {
        Custom {
            name: Some(name.to_string()),
            version: Some(version.to_string()),
            ..Custom::of(Kind::Plugin)
        }
    }

    /// What a firmware image's target says at least.
    pub fn firmware() -> Self {
        Custom::of(Kind::Firmware)
    }

    fn of(kind: Kind) -> Self {
        Custom {
            kind,
            name: None,
            version: None,
            hardware: Vec::new(),
            digests: Vec::new(),
            outboard: false,
            zstd: false,
            sequence: None,
        }
    }

    /// The digest by an algorithm, where `custom` has it.
    pub fn digest_by(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.digests.iter().find(|digest| digest.algorithm == algorithm)
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
        self.check_image()
    }

    /// What an image alone may have, and what goes together.
    fn check_image(&self) -> Result<(), TargetError> {
        let members =
            [("outboard", self.outboard), ("zstd", self.zstd), ("sequence", self.sequence.is_some())];
        if self.kind != Kind::Firmware
            && let Some((member, _)) = members.into_iter().find(|(_, present)| *present)
        {
            return Err(invalid(member, "is for firmware images, and this is a plugin".to_owned()));
        }
        if self.outboard && self.digest_by(Algorithm::Blake3).is_none() {
            let reason = "a hash tree needs its root, a blake3 digest among digests".to_owned();
            return Err(invalid("outboard", reason));
        }
        Ok(())
    }
}

// Serde asks by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
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
            "digests": [format!("blake3:{}", "0".repeat(64))], "outboard": true, "zstd": true,
            "sequence": 41,
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
            (json!({"kind": "firmware", "outboard": true}), "outboard: a hash tree needs its root"),
            (json!({"kind": "firmware", "outboard": "yes"}), "invalid type: string"),
            (json!({"kind": "firmware", "sequence": -1}), "invalid value: integer `-1`"),
            (json!({"kind": "plugin", "zstd": true}), "zstd: is for firmware images"),
            (json!({"kind": "plugin", "sequence": 0}), "sequence: is for firmware images"),
            (
                json!({
                    "kind": "plugin", "outboard": true, "digests": [format!("blake3:{}", "0".repeat(64))],
                }),
                "outboard: is for firmware images",
            ),
        ] {
            let told = read(value.clone()).unwrap_err().to_string();
            assert!(told.contains(part), "{value}: {told}");
        }
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
