//! A twin as a list of paths and values, and what differs between two.

use std::collections::BTreeMap;

use serde_json::Value;

/// The parts of a twin that people care for, and where they stand.
pub(super) const PARTS: [(&str, &str); 3] =
    [("tags", "/tags"), ("desired", "/properties/desired"), ("reported", "/properties/reported")];

/// All values below an object by their dotted paths, without `$metadata` and `$version`.
///
/// An array is a value, and so is an empty object.
pub(super) fn leaves(value: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(value, String::new(), &mut found);
    found
}

fn collect(value: &Value, path: String, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if path.is_empty() || !members.is_empty() => {
            for (key, member) in members.iter().filter(|(key, _)| !key.starts_with('$')) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(member, path, found);
            }
        }
        leaf => {
            found.insert(path, leaf.clone());
        }
    }
}

/// All values of a twin: `reported.firmwareStatus`, `tags.plant`, `connection`.
pub(super) fn twin_leaves(twin: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (part, pointer) in PARTS {
        let Some(section) = twin.pointer(pointer) else { continue };
        all.extend(leaves(section).into_iter().map(|(path, value)| (format!("{part}.{path}"), value)));
    }
    if let Some(state) = twin.get("connectionState") {
        all.insert("connection".to_owned(), state.clone());
    }
    all
}

/// One value that is not what it was.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Change {
    /// Where.
    pub(super) path: String,
    /// What it was; none when it is new.
    pub(super) before: Option<Value>,
    /// What it is; none when it is gone.
    pub(super) after: Option<Value>,
}

/// What differs, by path.
pub(super) fn changes(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<Change> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| Change {
            path: path.clone(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_by_path() {
        let before = json!({"connectionState": "Disconnected", "tags": {"a": {}}, "properties": {
            "desired": {"x": 1, "$version": 2, "$metadata": {"$lastUpdated": "t"}},
            "reported": {"status": "standBy", "gone": {"deep": true}, "list": [1], "$version": 3}}});
        let after = json!({"connectionState": "Connected", "tags": {"a": {}}, "properties": {
            "desired": {"x": 1, "$version": 9, "$metadata": {"$lastUpdated": "u"}},
            "reported": {"status": "downloading", "list": [1, 2], "new": null, "$version": 4}}});
        let change = |path: &str, before: Option<Value>, after: Option<Value>| Change {
            path: path.into(),
            before,
            after,
        };
        assert_eq!(
            changes(&twin_leaves(&before), &twin_leaves(&after)),
            [
                change("connection", Some(json!("Disconnected")), Some(json!("Connected"))),
                change("reported.gone.deep", Some(json!(true)), None),
                change("reported.list", Some(json!([1])), Some(json!([1, 2]))),
                change("reported.new", None, Some(json!(null))),
                change("reported.status", Some(json!("standBy")), Some(json!("downloading"))),
            ]
        );
        assert_eq!(changes(&twin_leaves(&after), &twin_leaves(&after)), []);
        assert_eq!(twin_leaves(&before)["tags.a"], json!({}));
    }
}
