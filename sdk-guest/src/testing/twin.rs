//! The reported properties: merging, and what the hub and the manifest allow.

use serde_json::{Map, Value};

use crate::bindings::hotshoe::plugin::report::Error;

const DEPTH: usize = 10;
const KEY: usize = 1024;
const STRING: usize = 4096;
const TOTAL: usize = 32 * 1024;

/// Merges a patch (RFC 7396).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in members {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Checks a patch and merges it, or leaves all as it was.
pub(super) fn patch(reported: &mut Value, patch: &Value, owned: Option<&[String]>) -> Result<(), Error> {
    let Value::Object(members) = patch else {
        return Err(Error::Invalid("a patch is a JSON object".to_owned()));
    };
    limits(patch, 0, "")?;
    if let Some(owned) = owned {
        for (key, value) in members {
            owns(owned, key, value)?;
        }
    }
    let mut merged = reported.clone();
    merge(&mut merged, patch);
    let size = merged.to_string().len();
    if size > TOTAL {
        return Err(Error::TooLarge(format!("they would have {size} bytes, and 32 KiB are taken")));
    }
    *reported = merged;
    Ok(())
}

/// Whether what stands at a path lies at or below an owned one.
fn owns(owned: &[String], path: &str, value: &Value) -> Result<(), Error> {
    let within = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if owned.iter().any(|own| within(own, path)) {
        return Ok(());
    }
    match value {
        Value::Object(members) if owned.iter().any(|own| within(path, own)) => {
            members.iter().try_for_each(|(key, value)| owns(owned, &format!("{path}.{key}"), value))
        }
        _ => Err(Error::Denied(format!("the manifest does not name {path} under reported"))),
    }
}

fn limits(value: &Value, depth: usize, path: &str) -> Result<(), Error> {
    let fault = |what: &str| Err(Error::Invalid(format!("{path}: {what}")));
    match value {
        Value::Object(_) | Value::Array(_) if depth > DEPTH => fault("is nested more than 10 deep"),
        Value::String(text) if text.len() > STRING => fault("has more than 4096 bytes"),
        Value::Array(values) => {
            if values.iter().any(Value::is_null) {
                return fault("has null in an array");
            }
            values.iter().try_for_each(|value| limits(value, depth + 1, path))
        }
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            let forbidden = |character: char| character.is_control() || matches!(character, '.' | '$' | ' ');
            if key.is_empty() || key.len() > KEY || key.chars().any(forbidden) {
                return fault(&format!("the key {key:?} is not taken by the hub"));
            }
            limits(value, depth + 1, &format!("{path}/{key}"))
        }),
        _ => Ok(()),
    }
}
