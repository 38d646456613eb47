//! Who owns what in the reported properties, by dotted paths: `firmwareStatus`, `iothubDM.reboot`.
//!
//! Keys hold no dots ([`super::check_key`]), so a path is unambiguous.

use serde_json::Value;

/// Whether one path lies at or below the other, so that two plugins cannot own both.
pub fn overlap(one: &str, other: &str) -> bool {
    one.split('.').zip(other.split('.')).all(|(one, other)| one == other)
}

/// Checks that a patch touches nothing but what lies at or below an owned path. The error is the first path that it
/// may not touch.
///
/// On the way to an owned path a patch may pass through objects alone: replacing or deleting `iothubDM` would take
/// with it what others own below it.
pub fn check_owned<Owned: AsRef<str>>(patch: &Value, owned: &[Owned]) -> Result<(), String> {
    let paths: Vec<Vec<&str>> = owned.iter().map(|path| path.as_ref().split('.').collect()).collect();
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    check(patch, &paths, &mut Vec::new())
}

/// `below` is what remains of the owned paths that lead through here.
fn check<'a>(value: &'a Value, below: &[&[&str]], trail: &mut Vec<&'a str>) -> Result<(), String> {
    let Value::Object(members) = value else { return Err(trail.join(".")) };
    for (key, member) in members {
        let next: Vec<&[&str]> = below
            .iter()
            .filter_map(|path| path.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest))
            .collect();
        trail.push(key);
        if next.is_empty() {
            return Err(trail.join("."));
        }
        if !next.iter().any(|rest| rest.is_empty()) {
            check(member, &next, trail)?;
        }
        trail.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_overlap_by_whole_keys() {
        assert!(overlap("a", "a"));
        assert!(overlap("a", "a.b"));
        assert!(overlap("a.b.c", "a.b"));
        assert!(!overlap("a.b", "a.c"));
        assert!(!overlap("a", "ab"));
    }

    #[test]
    fn a_patch_stays_within_what_is_owned() {
        let owned = ["firmwareStatus", "iothubDM.reboot", "iothubDM.firmwareUpdate"];
        for patch in [
            json!({}),
            json!({"firmwareStatus": "standBy"}),
            json!({"firmwareStatus": null}),
            json!({"firmwareStatus": {"any": {"thing": null}}}),
            json!({"iothubDM": {"reboot": {"startedRebootTime": "now"}, "firmwareUpdate": null}}),
            json!({"iothubDM": {}}),
        ] {
            assert_eq!(check_owned(&patch, &owned), Ok(()), "{patch}");
        }
        for (patch, place) in [
            (json!({"other": 1}), "other"),
            (json!({"other": {}}), "other"),
            (json!({"firmwareStatus2": 1}), "firmwareStatus2"),
            (json!({"iothubDM": null}), "iothubDM"),
            (json!({"iothubDM": "x"}), "iothubDM"),
            (json!({"iothubDM": [1]}), "iothubDM"),
            (json!({"iothubDM": {"reboot": 1, "factoryReset": null}}), "iothubDM.factoryReset"),
            (json!("x"), ""),
        ] {
            assert_eq!(check_owned(&patch, &owned), Err(place.to_owned()), "{patch}");
        }
        assert_eq!(check_owned(&json!({"a": 1}), &[] as &[&str]), Err("a".to_owned()));
    }
}
