//! One entry of the desired property `hotshoe.plugins`: what it asks for, and when that is to be done. Pure.

use hotshoe_core::digest::Digest;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::PluginSummary;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::Order;

/// How often an entry is begun in one desired version: more restarts than that in the middle of it are no accident.
const BEGINNINGS: u32 = 3;
/// Carried out.
pub(super) const DONE: i32 = 200;
/// Under way, held, or to be tried again.
pub(super) const UNDER_WAY: i32 = 202;

/// What an entry asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// This version is to be live.
    Install(Order),
    /// What was installed is to go.
    Remove(PluginName),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: Option<Version>,
    repository: Option<String>,
    digest: Option<Digest>,
    #[serde(default)]
    remove: bool,
}

/// Reads an entry; the error is for whoever wrote it.
pub(super) fn read(key: &str, value: &Value) -> Result<Wish, String> {
    let name = PluginName::from_twin_key(key).map_err(|error| error.to_string())?;
    let written = Written::deserialize(value).map_err(|error| {
        format!("{error}; an entry is {{version, repository?, digest?}} or {{remove: true}}")
    })?;
    match written {
        Written { version: None, repository: None, digest: None, remove: true } => Ok(Wish::Remove(name)),
        Written { version: Some(version), repository, digest, remove: false } => {
            Ok(Wish::Install(Order { name, version: Some(version), repository, digest }))
        }
        _ => Err("an entry names a version, or says remove: true and nothing else".to_owned()),
    }
}

/// What was told of an entry. Stands on the disk and, but for `beginnings`, in the twin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// The entry.
    pub(super) value: Value,
    /// `ac`
    pub(super) code: i32,
    /// `av`
    pub(super) version: u64,
    /// `ad`
    pub(super) text: Option<String>,
    /// How often it was begun without an end.
    pub(super) beginnings: u32,
}

/// What to do about an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Carry it out.
    Begin,
    /// It was begun too often.
    GiveUp,
    /// It stands as it did; say so for this desired version.
    Repeat,
    /// Nothing.
    Nothing,
}

/// What to do about an entry in a desired version, given what was told of it.
///
/// What was carried out is not touched again, whatever else changes in the document: an operator at the device may have
/// done something since. What was refused is tried again once in each later version.
pub(super) fn step(told: Option<&Told>, value: &Value, version: u64) -> Step {
    match told {
        Some(told) if told.value == *value => {
            let same = told.version == version;
            match told.code {
                _ if told.beginnings >= BEGINNINGS && same => Step::GiveUp,
                _ if told.beginnings > 0 => Step::Begin,
                DONE | UNDER_WAY if same => Step::Nothing,
                DONE | UNDER_WAY => Step::Repeat,
                _ if same => Step::Nothing,
                _ => Step::Begin,
            }
        }
        _ => Step::Begin,
    }
}

/// What is true of an entry by now, where that is another thing than was told: code and text.
pub(super) fn correction(
    told: &Told,
    wish: &Wish,
    plugins: &[PluginSummary],
) -> Option<(i32, Option<String>)> {
    if told.beginnings > 0 {
        return None;
    }
    let Wish::Install(order) = wish else { return None };
    let plugin = plugins.iter().find(|plugin| plugin.name == order.name);
    // Of one that is absent it is the version that does not load.
    let there = plugin.filter(|plugin| plugin.state != "absent");
    let version = there.and_then(|plugin| plugin.version.as_ref());
    let live = version.is_some() && version == order.version.as_ref();
    match (live, told.code) {
        (true, DONE) => None,
        (true, _) => Some((DONE, None)),
        (false, DONE) => {
            let now = version
                .map_or("no version is live".to_owned(), |version| format!("version {version} is live"));
            let why = plugin.and_then(|plugin| plugin.trouble.as_deref());
            Some((409, Some(why.map_or(now.clone(), |why| format!("{now}: {why}")))))
        }
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(code: i32, version: u64, beginnings: u32) -> Told {
        Told { value: json!({ "version": "1.2.0" }), code, version, text: None, beginnings }
    }

    #[test]
    fn an_entry_is_a_version_or_a_removal() {
        let wish = read("acme/pump", &json!({ "version": "1.2.0", "repository": "main" })).unwrap();
        let Wish::Install(order) = wish else { panic!("{wish:?}") };
        assert_eq!((order.name.as_str(), order.repository.as_deref()), ("acme.pump", Some("main")));
        assert!(matches!(read("acme/pump", &json!({ "remove": true })), Ok(Wish::Remove(_))));
        for (key, value) in [
            ("acme/pump", json!({})),
            ("acme/pump", json!({ "remove": false })),
            ("acme/pump", json!({ "version": "1.2.0", "remove": true })),
            ("acme/pump", json!({ "version": "new" })),
            ("acme/pump", json!({ "versoin": "1.2.0" })),
            ("acme/pump", json!("1.2.0")),
            ("Acme Pump", json!({ "version": "1.2.0" })),
        ] {
            assert!(read(key, &value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn when_an_entry_is_carried_out() {
        let value = json!({ "version": "1.2.0" });
        for (what, told, version, step_wanted) in [
            ("never seen", None, 7, Step::Begin),
            ("done, nothing new", Some(told(200, 7, 0)), 7, Step::Nothing),
            ("done, another part of the document changed", Some(told(200, 7, 0)), 8, Step::Repeat),
            ("held, another part changed", Some(told(202, 7, 0)), 8, Step::Repeat),
            ("refused in this version", Some(told(403, 7, 0)), 7, Step::Nothing),
            ("refused before", Some(told(403, 7, 0)), 8, Step::Begin),
            ("cut short", Some(told(202, 7, 1)), 7, Step::Begin),
            ("cut short three times", Some(told(202, 7, 3)), 7, Step::GiveUp),
            ("given up before", Some(told(500, 7, 0)), 8, Step::Begin),
        ] {
            assert_eq!(step(told.as_ref(), &value, version), step_wanted, "{what}");
        }
        assert_eq!(step(Some(&told(200, 7, 0)), &json!({ "version": "1.3.0" }), 8), Step::Begin);
    }

    #[test]
    fn a_version_that_does_not_load_is_not_told_as_live() {
        let wish = read("acme/pump", &json!({ "version": "1.2.0" })).unwrap();
        let plugins = |state: &str| -> [PluginSummary; 1] {
            let summary =
                json!({ "name": "acme.pump", "version": "1.2.0", "state": state, "trouble": "denied" });
            [serde_json::from_value(summary).unwrap()]
        };
        assert_eq!(correction(&told(200, 7, 0), &wish, &plugins("settled")), None);
        assert_eq!(
            correction(&told(200, 7, 0), &wish, &plugins("absent")),
            Some((409, Some("no version is live: denied".to_owned())))
        );
        assert_eq!(correction(&told(409, 7, 0), &wish, &plugins("absent")), None);
        assert_eq!(correction(&told(409, 7, 0), &wish, &plugins("settled")), Some((200, None)));
    }
}
