//! What the hub takes: keys, strings, numbers, depth and size (iothub.md §2.5).
//!
//! Where the service and its gateway differ, the service's rule holds here: it is the documented one.

use serde_json::{Number, Value};

/// The most a device may report, in bytes as [`size`] counts.
pub const REPORTED_LIMIT: usize = 32 * 1024;
/// The most that may be desired, in bytes as [`size`] counts.
pub const DESIRED_LIMIT: usize = 32 * 1024;
/// The most that tags may hold, in bytes as [`size`] counts.
pub const TAGS_LIMIT: usize = 8 * 1024;
/// The longest key in bytes.
pub const KEY_LIMIT: usize = 1024;
/// The longest string in bytes.
pub const STRING_LIMIT: usize = 4096;
/// How deep objects and arrays may be nested, the outermost being level 0.
pub const DEPTH_LIMIT: usize = 10;

const INTEGER_LEAST: i64 = -4_503_599_627_370_496;
const INTEGER_MOST: i64 = 4_503_599_627_370_495;

/// Why the hub would refuse a patch or a document. Each names the place as a JSON path, `$` being the patch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TwinError {
    /// A patch is an object.
    #[error("a twin patch is a JSON object, this is {found}")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// A key the hub does not take.
    #[error("{path}: the key {key:?} {reason}")]
    Key {
        /// Where it stands.
        path: String,
        /// Its first 64 characters.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nested too deeply.
    #[error("{path}: objects and arrays may be nested {DEPTH_LIMIT} deep")]
    Depth {
        /// Where the level too many begins.
        path: String,
    },
    /// A string that is too long.
    #[error("{path}: the string has {size} bytes, the limit is {STRING_LIMIT}")]
    String {
        /// Where it stands.
        path: String,
        /// Its size in bytes.
        size: usize,
    },
    /// An integer out of range.
    #[error("{path}: {number} is not within {INTEGER_LEAST} and {INTEGER_MOST}")]
    Number {
        /// Where it stands.
        path: String,
        /// The number.
        number: String,
    },
    /// A `null` within an array, where it cannot mean deletion.
    #[error("{path}: an array may not hold null, nor an object with null")]
    NullInArray {
        /// Where it stands.
        path: String,
    },
    /// The document would be too large.
    #[error("the properties would have {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size as [`size`] counts.
        size: usize,
        /// What it may have.
        limit: usize,
    },
}

/// Checks a patch of reported, desired or tags. Does not check the size: that is the merged document's.
pub fn validate_patch(patch: &Value) -> Result<(), TwinError> {
    if !patch.is_object() {
        return Err(TwinError::NotAnObject { found: kind(patch) });
    }
    check(patch, &mut Path(Vec::new()), false)
}

/// Checks that a document is within a limit of this module.
pub fn check_size(document: &Value, limit: usize) -> Result<(), TwinError> {
    match size(document) {
        size if size > limit => Err(TwinError::TooLarge { size, limit }),
        _ => Ok(()),
    }
}

/// The size of a document as the hub counts: UTF-8 of keys and strings without control characters, 8 for a number,
/// 4 for a boolean, nothing for `null`. `$metadata` and `$version` of the outermost object do not count.
pub fn size(document: &Value) -> usize {
    match document {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "$metadata" | "$version"))
            .map(|(key, value)| counted(key) + size_within(value))
            .sum(),
        other => size_within(other),
    }
}

fn size_within(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => counted(text),
        Value::Array(items) => items.iter().map(size_within).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| counted(key) + size_within(value)).sum(),
    }
}

fn counted(text: &str) -> usize {
    text.chars().filter(|character| !character.is_control()).map(char::len_utf8).sum()
}

/// Checks one key; the error is what is wrong with it.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if key.len() > KEY_LIMIT {
        return Err("is longer than 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    if key.contains(['.', '$', ' ']) {
        return Err("holds a `.`, a `$` or a space");
    }
    Ok(())
}

fn check<'a>(value: &'a Value, path: &mut Path<'a>, in_array: bool) -> Result<(), TwinError> {
    match value {
        Value::Object(members) => {
            path.check_depth()?;
            for (key, member) in members {
                if let Err(reason) = check_key(key) {
                    let key = key.chars().take(64).collect();
                    return Err(TwinError::Key { path: path.to_string(), key, reason });
                }
                path.0.push(Step::Key(key));
                check(member, path, in_array)?;
                path.0.pop();
            }
        }
        Value::Array(items) => {
            path.check_depth()?;
            for (index, item) in items.iter().enumerate() {
                path.0.push(Step::Index(index));
                check(item, path, true)?;
                path.0.pop();
            }
        }
        Value::Null if in_array => return Err(TwinError::NullInArray { path: path.to_string() }),
        Value::String(text) if text.len() > STRING_LIMIT => {
            return Err(TwinError::String { path: path.to_string(), size: text.len() });
        }
        Value::Number(number) if !in_range(number) => {
            return Err(TwinError::Number { path: path.to_string(), number: number.to_string() });
        }
        _ => {}
    }
    Ok(())
}

/// Integers are bounded; numbers with a fraction or an exponent are not.
fn in_range(number: &Number) -> bool {
    match number.as_i64() {
        Some(integer) => (INTEGER_LEAST..=INTEGER_MOST).contains(&integer),
        None => !number.is_u64(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Where in the document we are; written only when something is wrong.
struct Path<'a>(Vec<Step<'a>>);

impl Path<'_> {
    fn check_depth(&self) -> Result<(), TwinError> {
        if self.0.len() > DEPTH_LIMIT { Err(TwinError::Depth { path: self.to_string() }) } else { Ok(()) }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Key(key) => write!(formatter, ".{}", key.chars().take(64).collect::<String>())?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(patch: Value) -> String {
        validate_patch(&patch).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_patches_pass() {
        for patch in [
            json!({}),
            json!({"firmwareStatus": "downloading", "n": 1.5e300, "gone": null, "list": [1, [2], {"a": true}]}),
            json!({"deep": {"gone": null}}),
            json!({"text": "x".repeat(STRING_LIMIT), "k".repeat(KEY_LIMIT): 1}),
            json!({"least": INTEGER_LEAST, "most": INTEGER_MOST}),
            json!({"#": 1, "": 2, "straße": 3}),
        ] {
            assert_eq!(validate_patch(&patch), Ok(()), "{patch}");
        }
    }

    #[test]
    fn what_is_refused_names_its_place() {
        assert!(told(json!([1])).contains("this is an array"));
        assert!(told(json!({"a": {"$version": 1}})).starts_with("$.a: the key \"$version\""));
        assert!(told(json!({"a b": 1})).contains("a space"));
        assert!(told(json!({"a.b": 1})).contains("`.`"));
        assert!(told(json!({"a\u{85}": 1})).contains("control character"));
        assert!(told(json!({"k".repeat(KEY_LIMIT + 1): 1})).contains("1024"));
        assert!(
            told(json!({"a": ["x", "y".repeat(STRING_LIMIT + 1)]}))
                .starts_with("$.a[1]: the string has 4097")
        );
        assert!(told(json!({"a": INTEGER_MOST + 1})).contains("4503599627370496 is not within"));
        assert!(told(json!({"a": INTEGER_LEAST - 1})).contains("is not within"));
        assert!(told(json!({"a": u64::MAX})).contains("is not within"));
        assert!(told(json!({"a": [null]})).starts_with("$.a[0]: an array may not hold null"));
        assert!(told(json!({"a": [{"b": null}]})).starts_with("$.a[0].b"));
    }

    #[test]
    fn depth_counts_from_the_root_as_zero() {
        let nested = |levels: usize, leaf: Value| (0..levels).fold(leaf, |inner, _| json!({ "a": inner }));
        assert_eq!(validate_patch(&nested(11, json!(1))), Ok(()));
        assert!(matches!(validate_patch(&nested(11, json!({}))), Err(TwinError::Depth { .. })));
        assert!(matches!(validate_patch(&nested(11, json!([]))), Err(TwinError::Depth { .. })));
        assert_eq!(validate_patch(&nested(10, json!([1]))), Ok(()));
    }

    #[test]
    fn size_counts_as_the_hub_does() {
        for (document, expected) in [
            (json!({}), 0),
            (json!({"abc": "de"}), 5),
            (json!({"a": 1, "b": true, "c": null}), 1 + 8 + 1 + 4 + 1),
            (json!({"ä": "\u{0}\n€"}), 2 + 3),
            (json!({"a": {"b": [1, "x"]}}), 1 + 1 + 8 + 1),
            (json!({"$version": 7, "$metadata": {"$lastUpdated": "2026"}, "a": 1}), 9),
        ] {
            assert_eq!(size(&document), expected, "{document}");
        }
        assert_eq!(check_size(&json!({"a": "x".repeat(9)}), 10), Ok(()));
        assert_eq!(
            check_size(&json!({"a": "x".repeat(10)}), 10),
            Err(TwinError::TooLarge { size: 11, limit: 10 })
        );
    }
}
