//! The local hub's query language over a few rows: found or refused, in bounded time, as JSON.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::pieces::text;

static ROWS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    vec![
        json!({"deviceId": "a", "status": "enabled", "tags": {"site": "x", "floor": 3, "on": true, "a.b": 1},
            "properties": {"reported": {"v": 1.5}}, "configurations": {"fw-2": {"status": "Applied"}}}),
        json!({"deviceId": "b", "status": "disabled", "tags": {"site": "y", "floor": -2, "list": [1, 2]}}),
        json!({"deviceId": "c", "status": "enabled", "tags": {"site": 7, "floor": "3", "null": null}}),
    ]
});

/// A query, or the condition of one.
pub(super) fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match hotshoe_localhub::find(text, &ROWS) {
        Ok(found) => {
            let found: Value = serde_json::from_str(&found).expect("what is found is JSON");
            let rows = found.as_array().expect("what is found are rows");
            assert!(rows.len() <= ROWS.len() + 1, "more rows than there are: {found}");
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}
