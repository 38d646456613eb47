//! What the twin says of the host: `hotshoe: {version, plugins, broken, slots}`.
//!
//! Written when it differs from what the hub shows, after the hub's document was read: a twin that was made anew
//! gets it again, and a device that restarts ten times sends it once. Plugin names hold dots, which a twin's keys
//! may not, so plugins are a list.

use std::sync::Arc;

use serde_json::{Value, json};

use super::native::{Native, slots};
use crate::hub::Outbox;

/// The most broken plugins that are told: a twin holds 32 KiB.
const BROKEN_LIMIT: usize = 8;

/// Follows the connection: after each reading of the twin, what it shows of the host is put right.
pub(super) async fn follow(native: Arc<Native>, outbox: Outbox) {
    let mut refreshed = outbox.refreshed();
    // The twin may have been read while plugins were mounted.
    let mut read = *refreshed.borrow_and_update() > 0;
    loop {
        if read {
            put_right(&native, &outbox).await;
        }
        if refreshed.changed().await.is_err() {
            return;
        }
        read = true;
    }
}

async fn put_right(native: &Native, outbox: &Outbox) {
    native.jobs.tidy().await;
    if let Some(patch) = difference(&outbox.reported(), &of(native).await)
        && let Err(error) = outbox.patch(patch).await
    {
        tracing::warn!(%error, "the host's own properties were not reported");
    }
}

async fn of(native: &Native) -> Value {
    let plugins = native.routes.plugins();
    let plugins: Vec<Value> = plugins
        .iter()
        .map(|plugin| json!({ "name": plugin.manifest().name, "version": plugin.manifest().version }))
        .collect();
    let broken: Vec<Value> = native.broken().iter().take(BROKEN_LIMIT).map(broken).collect();
    let slots: Vec<Value> = match slots(&native.flash).await {
        Value::Array(slots) => slots.iter().map(slot).collect(),
        _ => Vec::new(),
    };
    json!({ "version": env!("CARGO_PKG_VERSION"), "plugins": plugins, "broken": broken, "slots": slots })
}

fn broken(one: &super::mount::Broken) -> Value {
    let file = one.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let reason: String = one.reason.chars().take(512).collect();
    json!({ "file": file, "reason": reason })
}

fn slot(slot: &Value) -> Value {
    json!({
        "name": slot.get("name"),
        "running": slot.get("running"),
        "version": slot.get("version").filter(|version| !version.is_null()).unwrap_or(&json!("")),
    })
}

/// The patch that makes the twin's `hotshoe` say this; `None` where it does.
fn difference(reported: &Value, wanted: &Value) -> Option<Value> {
    let shown = reported.get("hotshoe");
    let mut patch = serde_json::Map::new();
    for (key, value) in wanted.as_object()? {
        let empty = value.as_array().is_some_and(Vec::is_empty);
        match shown.and_then(|shown| shown.get(key)) {
            Some(known) if known == value => {}
            // An empty list says no more than no list.
            None if empty => {}
            Some(_) if empty => drop(patch.insert(key.clone(), Value::Null)),
            _ => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    if patch.is_empty() { None } else { Some(json!({ "hotshoe": patch })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_reported() {
        let wanted =
            json!({ "version": "2", "plugins": [{ "name": "a.b", "version": "1.0.0" }], "broken": [] });
        let patch = difference(&json!({}), &wanted).unwrap();
        assert_eq!(
            patch,
            json!({ "hotshoe": { "version": "2", "plugins": [{ "name": "a.b", "version": "1.0.0" }] } })
        );
        assert_eq!(difference(&patch, &wanted), None);
        let shown =
            json!({ "hotshoe": { "version": "1", "plugins": wanted["plugins"], "broken": [1], "jobs": {} } });
        assert_eq!(
            difference(&shown, &wanted),
            Some(json!({ "hotshoe": { "version": "2", "broken": null } }))
        );
    }
}
