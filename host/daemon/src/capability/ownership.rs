//! Which reported properties are whose.
//!
//! A manifest names paths, a key (`firmwareStatus`) or a dotted path (`iothubDM.reboot`). A patch may set and delete
//! at an owned path and below it; on the way there it may pass through objects, and nothing else: `{"iothubDM": null}`
//! or `{"iothubDM": 1}` would take what others own along.

use serde_json::Value;

/// The path of the first part of a patch that lies outside of what is owned.
///
/// An empty object on the way changes nothing, but would make an object where none is; it counts as outside.
pub(super) fn trespass(patch: &Value, owned: &[String]) -> Option<String> {
    let members = patch.as_object()?;
    members.iter().find_map(|(key, value)| below(value, key.clone(), owned))
}

fn below(value: &Value, path: String, owned: &[String]) -> Option<String> {
    if owned.iter().any(|own| covers(own, &path)) {
        return None;
    }
    let on_the_way = owned.iter().any(|own| covers(&path, own));
    match value.as_object() {
        Some(members) if on_the_way && !members.is_empty() => {
            members.iter().find_map(|(key, value)| below(value, format!("{path}.{key}"), owned))
        }
        _ => Some(path),
    }
}

/// Of the reported properties, what lies at owned paths and below.
pub(super) fn part(reported: &Value, owned: &[String]) -> Value {
    let mut all = Value::Object(serde_json::Map::new());
    for path in owned {
        let keys: Vec<&str> = path.split('.').collect();
        let found = keys.iter().try_fold(reported, |value, key| value.get(key));
        if let Some(found) = found {
            let patch = keys.iter().rev().fold(found.clone(), |inner, key| {
                Value::Object(serde_json::Map::from_iter([((*key).to_owned(), inner)]))
            });
            hotshoe_core::twin::merge(&mut all, &patch);
        }
    }
    all
}

/// Whether `inner` is `outer` or lies below it. Keys hold no dots: the twin's own rule.
fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether two owners of these paths would be in each other's way.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_stays_at_or_below_what_is_owned() {
        let owned = ["firmwareStatus".to_owned(), "iothubDM.reboot".to_owned()];
        for (patch, outside) in [
            (json!({"firmwareStatus": "idle"}), None),
            (json!({"firmwareStatus": null}), None),
            (json!({"firmwareStatus": {"a": {"b": 1}}}), None),
            (json!({"iothubDM": {"reboot": {"status": "x"}}}), None),
            (json!({"iothubDM": {"reboot": null}}), None),
            (json!({}), None),
            (json!({"iothubDM": {"firmwareUpdate": 1}}), Some("iothubDM.firmwareUpdate")),
            (json!({"iothubDM": {"reboot": 1, "rebooted": 1}}), Some("iothubDM.rebooted")),
            (json!({"iothubDM": null}), Some("iothubDM")),
            (json!({"iothubDM": {}}), Some("iothubDM")),
            (json!({"iothubDM": 1}), Some("iothubDM")),
            (json!({"firmwareStatus": 1, "firmware": 1}), Some("firmware")),
            (json!({"hotshoe": {"jobs": {}}}), Some("hotshoe")),
        ] {
            assert_eq!(trespass(&patch, &owned).as_deref(), outside, "{patch}");
        }
        assert_eq!(trespass(&json!({"a": 1}), &[]).as_deref(), Some("a"));
    }

    #[test]
    fn the_part_is_what_is_owned() {
        let reported = json!({"a": {"b": {"c": 1}, "d": 2}, "e": [3], "f": 4});
        let owned = ["a.b".to_owned(), "e".to_owned(), "missing.x".to_owned()];
        assert_eq!(part(&reported, &owned), json!({"a": {"b": {"c": 1}}, "e": [3]}));
        assert_eq!(part(&reported, &[]), json!({}));
    }

    #[test]
    fn paths_that_lie_in_each_other_overlap() {
        assert!(overlap("iothubDM", "iothubDM.reboot"));
        assert!(overlap("iothubDM.reboot", "iothubDM"));
        assert!(overlap("a", "a"));
        assert!(!overlap("iothubDM.reboot", "iothubDM.firmwareUpdate"));
        assert!(!overlap("firmware", "firmwareStatus"));
    }
}
