//! The name of a plugin.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A plugin's name, such as `hotshoe.firmware-update`: 1 to 64 of `a-z`, `0-9`, `-` and `.`; begins and ends with a
/// letter or a digit and has no two dots in a row, so that it is a file name too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PluginName(String);

/// Why a text is not a plugin's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is not a plugin's name: 1 to 64 of a-z, 0-9, `-` and `.`, with a letter or digit at both ends, like `acme.pump`"
)]
pub struct NameError(String);

impl PluginName {
    /// The name as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a key of a twin, which may not hold dots (iothub.md §4): `acme/pump` for `acme.pump`.
    pub fn twin_key(&self) -> String {
        self.0.replace('.', "/")
    }

    /// The name that a twin's key stands for. The name itself is taken too.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn from_twin_key(key: &str) -> Result<Self, NameError> {
        key.replace('/', ".").parse()
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends =
            bytes.first().is_some_and(|byte| plain(*byte)) && bytes.last().is_some_and(|byte| plain(*byte));
        let all = bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'.'));
        if ends && all && bytes.len() <= 64 && !text.contains("..") {
            Ok(PluginName(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for PluginName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for PluginName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PluginName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for name in ["a", "hotshoe.firmware-update", "acme.pump2", "0", &"a".repeat(64)] {
            assert_eq!(name.parse::<PluginName>().unwrap().as_str(), name);
        }
        for name in
            ["", ".", "..", "a..b", "-a", "a-", ".a", "a.", "A", "a/b", "a b", "é", "*", &"a".repeat(65)]
        {
            assert!(name.parse::<PluginName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_is_a_twins_key_and_comes_back() {
        let name: PluginName = "acme.pump.v2".parse().unwrap();
        assert_eq!(name.twin_key(), "acme/pump/v2");
        assert_eq!(PluginName::from_twin_key("acme/pump/v2").unwrap(), name);
        assert!(PluginName::from_twin_key("acme//pump").is_err());
    }
}
