//! The table `[plugins]`: two settings, and beside them a table for each plugin.
//!
//! Read by hand, since a struct that takes any further key would swallow a misspelt setting. A table is a plugin's; any
//! other value belongs to a setting, and one that is unknown is told with those that are known.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{Allowed, InstallPolicy};

const SETTINGS: &[&str] = &["unsigned", "downgrade"];

/// What stands in `[plugins]`.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) install: InstallPolicy,
    pub(super) tables: BTreeMap<String, Allowed>,
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TablesVisitor)
    }
}

struct TablesVisitor;

impl<'de> Visitor<'de> for TablesVisitor {
    type Value = Tables;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tables, A::Error> {
        let mut read = Tables::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "unsigned" => read.install.unsigned = map.next_value()?,
                "downgrade" => read.install.downgrade = map.next_value()?,
                _ => {
                    let allowed = map.next_value_seed(OfPlugin { key: &key })?;
                    read.tables.insert(key, allowed);
                }
            }
        }
        Ok(read)
    }
}

/// The table of the plugin of this name.
struct OfPlugin<'a> {
    key: &'a str,
}

impl<'de> DeserializeSeed<'de> for OfPlugin<'_> {
    type Value = Allowed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Allowed, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OfPlugin<'_> {
    type Value = Allowed;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table of what a plugin may have")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Allowed, A::Error> {
        Allowed::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Allowed, E> {
        Err(unknown(self.key))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Allowed, E> {
        Err(unknown(self.key))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Allowed, E> {
        Err(unknown(self.key))
    }
}

fn unknown<E: Error>(key: &str) -> E {
    E::unknown_field(key, SETTINGS)
}
