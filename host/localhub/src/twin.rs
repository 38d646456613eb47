//! A twin as the hub keeps it: tags, desired and reported properties, with versions and metadata.
//!
//! Everything here is a pure change of a [`Twin`] value; the merge itself and its limits are the device's too and
//! come from `hotshoe_core::twin`. What is added is the hub's bookkeeping (`iothub.md` §2.6): two independent
//! `$version` counters beginning at 1, `$metadata` that mirrors the properties with `$lastUpdated` at every node,
//! and an entity tag. The tag moves with tags and desired properties only, so that a device's report never makes
//! an operator's `If-Match` fail; the twin's `version` moves with every change.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hotshoe_core::twin::{DESIRED_LIMIT, REPORTED_LIMIT, TAGS_LIMIT, merge, size, validate_patch};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::fault::Fault;

/// One half of the properties.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Section {
    /// The properties: always an object, never with `$` keys.
    pub properties: Value,
    /// The mirror tree of times.
    pub metadata: Value,
    /// 1 at first, one more with every accepted update.
    pub version: u64,
}

/// The stored twin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Twin {
    /// What operators note about the device; never shown to it.
    pub tags: Value,
    /// What operators wish.
    pub desired: Section,
    /// What the device says.
    pub reported: Section,
    /// One more with every change of anything.
    pub version: u64,
    /// One more with every change of tags or desired properties.
    pub tag: u64,
}

/// A change asked for by an operator; members that are `None` stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Change {
    /// Merged into, or replacing, the tags.
    #[serde(default)]
    pub tags: Option<Value>,
    /// Read for `desired` only: tools send whole twins back.
    #[serde(default)]
    pub properties: Option<ChangedProperties>,
}

/// See [`Change`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ChangedProperties {
    /// Merged into, or replacing, the desired properties.
    #[serde(default)]
    pub desired: Option<Value>,
}

/// What a connected device is told after a change: the new version, and the body with `$version` inside.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `desired.$version` after the change.
    pub version: u64,
    /// The patch that was applied (or all desired properties, after a replacement).
    pub body: Value,
}

impl Twin {
    /// The twin of a new identity.
    #[must_use]
    pub fn new(now: &str) -> Self {
        Self {
            tags: json!({}),
            desired: Section { properties: json!({}), metadata: stamp_of(now, Some(1)), version: 1 },
            reported: Section { properties: json!({}), metadata: stamp_of(now, None), version: 1 },
            version: 1,
            tag: 1,
        }
    }

    /// The entity tag, without quotes: base64 of the counter's eight bytes.
    #[must_use]
    pub fn etag(&self) -> String {
        STANDARD.encode(self.tag.to_be_bytes())
    }

    /// Merges what a device reports and gives the new `reported.$version`. `expected` is the version that the
    /// device believes present. Nothing is changed by a refused patch.
    pub fn report(&mut self, patch: &Value, expected: Option<u64>, now: &str) -> Result<u64, Fault> {
        if let Some(expected) = expected.filter(|expected| *expected != self.reported.version) {
            return Err(Fault::PreconditionFailed(format!(
                "reported properties are at version {}, not {expected}",
                self.reported.version
            )));
        }
        self.reported.patch(patch, "reported", REPORTED_LIMIT, now, false)?;
        self.version += 1;
        Ok(self.reported.version)
    }

    /// Applies an operator's change, merging (PATCH) or replacing (PUT). Gives what to tell the device, if the
    /// desired properties were touched.
    pub fn change(
        &mut self,
        change: &Change,
        replace: bool,
        now: &str,
    ) -> Result<Option<Notification>, Fault> {
        let mut next = self.clone();
        let desired = change.properties.as_ref().and_then(|properties| properties.desired.as_ref());
        if replace {
            next.tags = json!({});
        }
        if let Some(tags) = &change.tags {
            let tags = without_dollar_keys(tags);
            validate_patch(&tags).map_err(|error| Fault::ArgumentInvalid(format!("tags: {error}")))?;
            merge(&mut next.tags, &tags);
            within(&next.tags, TAGS_LIMIT, "tags")?;
        }
        let notification = match (desired, replace) {
            (None, false) => None,
            (Some(patch), false) => {
                let patch = without_dollar_keys(patch);
                next.desired.patch(&patch, "desired", DESIRED_LIMIT, now, true)?;
                Some(next.desired.notification(patch))
            }
            (desired, true) => {
                let whole = desired.map_or_else(|| json!({}), without_dollar_keys);
                next.desired.properties = json!({});
                next.desired.metadata = stamp_of(now, Some(next.desired.version + 1));
                next.desired.patch(&whole, "desired", DESIRED_LIMIT, now, true)?;
                Some(next.desired.notification(next.desired.properties.clone()))
            }
        };
        next.version += 1;
        next.tag += 1;
        *self = next;
        Ok(notification)
    }

    /// What a device gets: both sections with their `$version`, nothing else.
    #[must_use]
    pub fn for_device(&self) -> Value {
        json!({"desired": self.desired.shown(false), "reported": self.reported.shown(false)})
    }
}

impl Section {
    /// The section with `$version`, and with `$metadata` for operators.
    #[must_use]
    pub fn shown(&self, metadata: bool) -> Value {
        let mut shown = self.properties.as_object().cloned().unwrap_or_default();
        if metadata {
            shown.insert("$metadata".into(), self.metadata.clone());
        }
        shown.insert("$version".into(), self.version.into());
        Value::Object(shown)
    }

    fn patch(
        &mut self,
        patch: &Value,
        what: &str,
        limit: usize,
        now: &str,
        with_version: bool,
    ) -> Result<(), Fault> {
        validate_patch(patch)
            .map_err(|error| Fault::ArgumentInvalid(format!("{what} properties: {error}")))?;
        let mut next = self.properties.clone();
        merge(&mut next, patch);
        within(&next, limit, what)?;
        self.properties = next;
        self.version += 1;
        stamp(&mut self.metadata, patch, now, with_version.then_some(self.version));
        Ok(())
    }

    fn notification(&self, mut body: Value) -> Notification {
        if let Value::Object(members) = &mut body {
            members.insert("$version".into(), self.version.into());
        }
        Notification { version: self.version, body }
    }
}

fn within(document: &Value, limit: usize, what: &str) -> Result<(), Fault> {
    let size = size(document);
    if size > limit {
        return Err(Fault::ArgumentInvalid(format!("{what} would have {size} bytes, more than {limit}")));
    }
    Ok(())
}

/// Tools send back what they read, `$metadata` and `$version` included; those are the hub's to write.
fn without_dollar_keys(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !matches!(key.as_str(), "$metadata" | "$version"));
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

fn stamp_of(now: &str, version: Option<u64>) -> Value {
    let mut node = Map::new();
    node.insert("$lastUpdated".into(), now.into());
    if let Some(version) = version {
        node.insert("$lastUpdatedVersion".into(), version.into());
    }
    Value::Object(node)
}

/// Writes the time (and version) at every node which the patch touches, and drops what it deletes.
fn stamp(metadata: &mut Value, patch: &Value, now: &str, version: Option<u64>) {
    let fresh = stamp_of(now, version);
    let Value::Object(changes) = patch else {
        *metadata = fresh;
        return;
    };
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let Value::Object(node) = metadata else { return };
    if let Value::Object(fresh) = fresh {
        node.extend(fresh);
    }
    for (key, change) in changes {
        if change.is_null() {
            node.remove(key);
        } else {
            let child = node.entry(key.clone()).or_insert_with(|| json!({}));
            if !change.is_object() {
                *child = json!({});
            }
            stamp(child, change, now, version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_metadata_follow_each_section_by_itself() {
        let mut twin = Twin::new("t0");
        assert_eq!(twin.etag(), "AAAAAAAAAAE=");
        assert_eq!(twin.report(&json!({"a": {"b": 1, "c": 2}}), None, "t1").unwrap(), 2);
        assert_eq!(twin.report(&json!({"a": {"b": null}}), Some(2), "t2").unwrap(), 3);
        assert_eq!(
            twin.reported.shown(true),
            json!({"a": {"c": 2}, "$version": 3, "$metadata": {
                "$lastUpdated": "t2", "a": {"$lastUpdated": "t2", "c": {"$lastUpdated": "t1"}}}})
        );
        assert_eq!(twin.desired.version, 1);
        assert_eq!(twin.etag(), "AAAAAAAAAAE=", "a report leaves the operator's tag alone");
    }

    #[test]
    fn a_wrong_version_or_a_dollar_key_changes_nothing() {
        let mut twin = Twin::new("t0");
        assert_eq!(twin.report(&json!({"a": 1}), Some(7), "t1").unwrap_err().status(), 412);
        assert_eq!(twin.report(&json!({"a": 1, "$version": 1}), None, "t1").unwrap_err().status(), 400);
        assert_eq!(twin.reported.shown(false), json!({"$version": 1}));
    }

    #[test]
    fn a_patch_tells_the_device_its_nulls_and_a_replacement_tells_it_everything() {
        let mut twin = Twin::new("t0");
        let patch: Change = serde_json::from_value(
            json!({"tags": {"site": "x"}, "properties": {"desired": {"a": 1, "b": 2}}}),
        )
        .unwrap();
        twin.change(&patch, false, "t1").unwrap();
        let patch: Change =
            serde_json::from_value(json!({"properties": {"desired": {"a": null}, "reported": {"z": 1}}}))
                .unwrap();
        let told = twin.change(&patch, false, "t2").unwrap().unwrap();
        assert_eq!(told.body, json!({"a": null, "$version": 3}));
        let whole: Change = serde_json::from_value(
            json!({"properties": {"desired": {"c": 3, "$version": 9, "$metadata": {}}}}),
        )
        .unwrap();
        let told = twin.change(&whole, true, "t3").unwrap().unwrap();
        assert_eq!(told.body, json!({"c": 3, "$version": 4}));
        assert_eq!(twin.tags, json!({}));
        assert_eq!(twin.reported.properties, json!({}));
    }
}
