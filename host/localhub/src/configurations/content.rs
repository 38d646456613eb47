//! Settings as values: how several configurations' places become one tree, and how the tree gets into a twin and out.
//!
//! A place belongs to the highest priority that names it, wholly: two halves of two firmware orders never meet in one
//! object. What lies under a place belongs to it; a lower priority that names a wider place has what is left of it.
//! Everything here is a pure function of values.

use hotshoe_core::twin::merge;
use serde_json::{Map, Value, json};

const ROOT: &str = "properties.desired";

/// What one configuration sets.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<Setting>);

#[derive(Debug)]
struct Setting {
    /// Below the desired properties; empty is all of them.
    path: Vec<String>,
    value: Value,
}

impl Settings {
    /// Reads `{"properties.desired.a.b": value, …}`; the error says what is wrong with which path.
    pub(super) fn read(content: &Map<String, Value>) -> Result<Self, String> {
        let mut settings = Vec::new();
        for (key, value) in content {
            let wrong = || format!("the path {key:?} does not begin with {ROOT:?} and a dot");
            let rest = key.strip_prefix(ROOT).ok_or_else(wrong)?;
            let path: Vec<String> = match rest.strip_prefix('.') {
                Some(rest) => rest.split('.').map(str::to_owned).collect(),
                None if rest.is_empty() => Vec::new(),
                None => return Err(wrong()),
            };
            if path.iter().any(String::is_empty) {
                return Err(format!("the path {key:?} has an empty part"));
            }
            if path.is_empty() && !value.is_object() {
                return Err(format!("{key:?} is an object, not {value}"));
            }
            settings.push(Setting { path, value: value.clone() });
        }
        settings.sort_by_key(|setting| setting.path.len());
        Ok(Self(settings))
    }

    /// All of it as one tree.
    pub(super) fn tree(&self) -> Value {
        self.placed(&json!({}))
    }

    /// Desired properties with these values in their places.
    pub(super) fn placed(&self, properties: &Value) -> Value {
        let mut next = properties.clone();
        for setting in &self.0 {
            place(&mut next, &setting.path, &setting.value);
        }
        next
    }
}

/// The tree of several configurations' settings, highest priority first, and which of them have a part in it.
pub(super) fn combine(all: &[&Settings]) -> (Value, Vec<bool>) {
    let mut taken: Vec<&[String]> = Vec::new();
    let mut kept: Vec<Vec<&Setting>> = Vec::new();
    for settings in all {
        let is_free = |setting: &&Setting| !taken.iter().any(|path| setting.path.starts_with(path));
        let free: Vec<&Setting> = settings.0.iter().filter(is_free).collect();
        taken.extend(free.iter().map(|setting| setting.path.as_slice()));
        kept.push(free);
    }
    let mut tree = json!({});
    for setting in kept.iter().rev().flatten() {
        place(&mut tree, &setting.path, &setting.value);
    }
    (tree, kept.iter().map(|kept| !kept.is_empty()).collect())
}

fn place(tree: &mut Value, path: &[String], value: &Value) {
    let mut node = tree;
    for segment in path {
        if !node.is_object() {
            *node = json!({});
        }
        let Value::Object(members) = node else { return };
        node = members.entry(segment.clone()).or_insert(Value::Null);
    }
    *node = value.clone();
}

/// Desired properties with `wanted` set in them, and without what only `former` had set.
pub(super) fn settled(present: &Value, former: &Value, wanted: &Value) -> Value {
    let mut next = present.clone();
    withdraw(&mut next, former, Some(wanted));
    if wanted.is_object() {
        merge(&mut next, wanted);
    }
    next
}

/// Takes away what was set and is not wanted any more; a section left empty by that goes too. What has another value
/// than was set is somebody else's and stays.
fn withdraw(present: &mut Value, former: &Value, wanted: Option<&Value>) {
    let (Value::Object(present), Value::Object(former)) = (present, former) else { return };
    for (key, was) in former {
        let still = match wanted {
            Some(Value::Object(members)) => members.get(key),
            Some(Value::Null) | None => None,
            Some(_) => return, // replaces all of this
        };
        let Some(value) = present.get_mut(key) else { continue };
        if value != was && value.is_object() && was.is_object() {
            withdraw(value, was, still);
            let is_left_empty = value.as_object().is_some_and(Map::is_empty);
            if is_left_empty && still.is_none() {
                present.remove(key);
            }
        } else if value == was {
            match still {
                None => drop(present.remove(key)),
                Some(_) => withdraw(value, was, still),
            }
        }
    }
}

/// The patch (RFC 7396) that makes `after` of `before`.
pub(super) fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| match old.get(key) {
        Some(same) if same == value => None,
        Some(other) => Some((key.clone(), difference(other, value))),
        None => Some((key.clone(), value.clone())),
    });
    Value::Object(gone.chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(content: &Value) -> Settings {
        Settings::read(content.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_place_is_the_highest_prioritys_and_what_is_left_of_wider_places_the_others() {
        let high = settings(&json!({"properties.desired.fw.version": 2, "properties.desired.mode": null}));
        let wide = settings(
            &json!({"properties.desired.fw": {"version": 1, "uri": "u"}, "properties.desired.mode": 1}),
        );
        let lost =
            settings(&json!({"properties.desired.fw.uri": "other", "properties.desired.mode.deep": 1}));
        let (tree, applies) = combine(&[&high, &wide, &lost]);
        assert_eq!(tree, json!({"fw": {"version": 2, "uri": "u"}, "mode": null}));
        assert_eq!(applies, [true, true, false]);
        let all = settings(&json!({"properties.desired": {"only": true}}));
        assert_eq!(combine(&[&all, &high]), (json!({"only": true}), vec![true, false]));
    }

    #[test]
    fn what_was_set_goes_away_again_and_what_others_set_stays() {
        for (present, former, wanted, next) in [
            (json!({"a": 1}), json!(null), json!({"fw": {"v": 1}}), json!({"a": 1, "fw": {"v": 1}})),
            (json!({"a": 1, "fw": {"v": 1}}), json!({"fw": {"v": 1}}), json!(null), json!({"a": 1})),
            (
                json!({"fw": {"v": 1, "mine": 2}}),
                json!({"fw": {"v": 1}}),
                json!({}),
                json!({"fw": {"mine": 2}}),
            ),
            (
                json!({"fw": {"v": 1, "u": 2}}),
                json!({"fw": {"v": 1, "u": 2}}),
                json!({"fw": {"v": 3}}),
                json!({"fw": {"v": 3}}),
            ),
            (json!({"v": 9}), json!({"v": 1}), json!({}), json!({"v": 9})),
            (json!({"s": {}, "l": [1]}), json!({"s": {}, "l": [1]}), json!({}), json!({})),
            (json!({"old": 1}), json!({}), json!({"old": null}), json!({})),
            (json!({"x": {"y": {"z": 1}}}), json!({"x": {"y": {"z": 1}}}), json!({"x": 1}), json!({"x": 1})),
        ] {
            assert_eq!(settled(&present, &former, &wanted), next, "{present} {former} {wanted}");
            let mut patched = present.clone();
            merge(&mut patched, &difference(&present, &next));
            assert_eq!(patched, next);
            assert_eq!(settled(&next, &wanted, &wanted), next, "and then nothing more");
        }
    }

    #[test]
    fn paths_begin_below_the_desired_properties() {
        for wrong in [
            "properties.reported.a",
            "properties.desiredx",
            "properties.desired.",
            "tags.a",
            "properties.desired.a..b",
        ] {
            let content = json!({wrong: 1});
            assert!(Settings::read(content.as_object().unwrap()).is_err(), "{wrong}");
        }
        assert!(Settings::read(json!({"properties.desired": 1}).as_object().unwrap()).is_err());
    }
}
