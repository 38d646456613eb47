//! What the twin says of the host: `hotshoe: {version, plugins, broken, slots, safeMode}`.
//!
//! Written when it differs from what the hub shows, after the hub's document was read and when a plugin changes: a twin
//! that was made anew gets it again, and a device that restarts ten times sends it once. `plugins` is a map by the name
//! as a key of the twin ([`PluginName::twin_key`]); of its entries the members named in [`OWN`] are the host's own word on
//! how the plugin stands, and others are left alone.
//!
//! [`PluginName::twin_key`]: hotshoe_core::manifest::PluginName::twin_key

use std::sync::Arc;

use hotshoe_core::swap::PluginSummary;
use serde_json::{Map, Value, json};

use super::native::{Native, slots};
use crate::hub::Outbox;
use crate::swap::Broken;

/// The most broken plugins that are told: a twin holds 32 KiB.
const BROKEN_LIMIT: usize = 8;

/// The members of a plugin's entry that say how it stands.
const OWN: [&str; 5] = ["version", "state", "previous", "held", "trouble"];

/// Follows the connection and the plugins: after each reading of the twin and each change of a plugin, what it shows of
/// the host is put right.
pub(super) async fn follow(native: Arc<Native>, outbox: Outbox) {
    let mut refreshed = outbox.refreshed();
    let mut changed = native.plugins.changed();
    // The twin may have been read while plugins were mounted.
    let mut read = *refreshed.borrow_and_update() > 0;
    loop {
        if read {
            put_right(&native, &outbox).await;
        }
        tokio::select! {
            refreshed = refreshed.changed() => match refreshed {
                Ok(()) => read = true,
                Err(_) => return,
            },
            // Nothing is patched before the hub's document is known.
            changed = changed.changed() => if changed.is_err() { return },
        }
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
    let plugins: Map<String, Value> =
        native.plugins.list().iter().map(|plugin| (plugin.name.twin_key(), entry(plugin))).collect();
    let broken: Vec<Value> = native.broken().iter().take(BROKEN_LIMIT).map(broken).collect();
    let slots: Vec<Value> = match slots(&native.flash).await {
        Value::Array(slots) => slots.iter().map(slot).collect(),
        _ => Vec::new(),
    };
    let safe_mode = native.safe_mode.reason().map(|reason| json!({ "reason": reason }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "plugins": plugins,
        "broken": broken,
        "slots": slots,
        "safeMode": safe_mode,
    })
}

fn entry(plugin: &PluginSummary) -> Value {
    let mut entry = Map::new();
    let mut tell = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            entry.insert(key.to_owned(), value);
        }
    };
    tell("version", plugin.version.as_ref().map(|version| json!(version)));
    tell("state", Some(json!(plugin.state)));
    tell("previous", plugin.previous.as_ref().map(|version| json!(version)));
    tell("held", plugin.held.as_ref().map(|held| json!({ "version": held.version, "wants": held.wants })));
    tell("trouble", plugin.trouble.as_ref().map(|text| json!(text.chars().take(512).collect::<String>())));
    Value::Object(entry)
}

fn broken(one: &Broken) -> Value {
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
        if key == "plugins" {
            let changes = plugins(shown.and_then(|shown| shown.get(key)), value);
            changes.into_iter().for_each(|changes| drop(patch.insert(key.clone(), changes)));
            continue;
        }
        let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        match shown.and_then(|shown| shown.get(key)) {
            Some(known) if known == value => {}
            // An empty list says no more than no list, and null is what is not there.
            None if empty => {}
            Some(_) if empty => drop(patch.insert(key.clone(), Value::Null)),
            _ => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    if patch.is_empty() { None } else { Some(json!({ "hotshoe": patch })) }
}

/// The same for the map of plugins: members of entries that are not the host's word stay, and so does their entry.
fn plugins(shown: Option<&Value>, wanted: &Value) -> Option<Value> {
    let nothing = Map::new();
    let wanted = wanted.as_object()?;
    let shown = shown.and_then(Value::as_object).unwrap_or(&nothing);
    let mut patch = Map::new();
    for key in shown.keys().chain(wanted.keys().filter(|key| !shown.contains_key(*key))) {
        let (entry, wanted) = (shown.get(key).and_then(Value::as_object), wanted.get(key));
        let others = entry.is_some_and(|entry| entry.keys().any(|key| !OWN.contains(&key.as_str())));
        if wanted.is_none() && !others {
            patch.insert(key.clone(), Value::Null);
            continue;
        }
        let mut changes = Map::new();
        for own in OWN {
            let (is, wish) =
                (entry.and_then(|entry| entry.get(own)), wanted.and_then(|wanted| wanted.get(own)));
            if is != wish {
                changes.insert(own.to_owned(), wish.cloned().unwrap_or(Value::Null));
            }
        }
        if !changes.is_empty() {
            patch.insert(key.clone(), Value::Object(changes));
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_reported() {
        let wanted = json!({ "version": "2", "plugins": { "a/b": { "version": "1.0.0" } }, "broken": [] });
        let patch = difference(&json!({}), &wanted).unwrap();
        assert_eq!(
            patch,
            json!({ "hotshoe": { "version": "2", "plugins": { "a/b": { "version": "1.0.0" } } } })
        );
        assert_eq!(difference(&patch, &wanted), None);
        let shown =
            json!({ "hotshoe": { "version": "1", "plugins": wanted["plugins"], "broken": [1], "jobs": {} } });
        assert_eq!(
            difference(&shown, &wanted),
            Some(json!({ "hotshoe": { "version": "2", "broken": null } }))
        );
    }

    #[test]
    fn the_hosts_word_on_a_plugin_is_put_right_and_the_rest_of_its_entry_stays() {
        let shown = json!({
            "a/b": { "version": "1.0.0", "state": "settled", "trouble": "old", "ac": 200 },
            "gone": { "version": "1.0.0" },
            "refused": { "version": "1.0.0", "ac": 403 },
        });
        let wanted =
            json!({ "a/b": { "version": "2.0.0", "state": "settled" }, "new": { "version": "1.0.0" } });
        assert_eq!(
            plugins(Some(&shown), &wanted),
            Some(json!({
                "a/b": { "version": "2.0.0", "trouble": null },
                "gone": null,
                "refused": { "version": null },
                "new": { "version": "1.0.0" },
            }))
        );
        let list = json!([{ "name": "a.b" }]);
        assert_eq!(plugins(Some(&list), &wanted), Some(wanted.clone()), "what an older host wrote goes");
        assert_eq!(plugins(Some(&wanted), &wanted), None);
    }
}
