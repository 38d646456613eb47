//! Twin documents and patches: a document and two patches, one after the other and as one.

use hotshoe_core::twin::{check_owned, compose, merge, size, validate_patch};
use serde_json::Value;

use crate::pieces::sections;

/// Three JSON texts.
pub(super) fn run(data: &[u8]) {
    let Some(texts) = sections(data) else { return };
    let values: Vec<Value> = texts.take(3).map_while(|text| serde_json::from_str(text).ok()).collect();
    if let [document, first, second] = values.as_slice() {
        composed(document, first, second);
    }
    for value in &values {
        let whole = validate_patch(value);
        assert_eq!(whole.is_ok(), validate_patch(value).is_ok());
        size(value);
        // Who owns nothing may touch nothing.
        let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
        assert_eq!(check_owned::<&str>(value, &[]).is_ok(), empty);
        if whole.is_ok() {
            let mut merged = Value::Object(serde_json::Map::new());
            merge(&mut merged, value);
            assert!(!holds_null(&merged), "a null deletes, and is nowhere kept: {merged}");
            validate_patch(&merged).expect("what a good patch makes is good");
            assert!(size(&merged) <= size(value));
        }
    }
}

fn composed(document: &Value, first: &Value, second: &Value) {
    let mut after = document.clone();
    merge(&mut after, first);
    merge(&mut after, second);
    let mut both = first.clone();
    if !compose(&mut both, second) {
        assert_eq!(both, *first, "what could not be composed is as it was");
        return;
    }
    let mut at_once = document.clone();
    merge(&mut at_once, &both);
    assert_eq!(at_once, after, "{first} and {second} are not {both}");
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().any(holds_null),
        _ => false,
    }
}
