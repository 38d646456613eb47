//! `hotshoe twin patch` and `replace`.
//!
//! The hub replaces tags and desired properties together. Where only one of them is given the other is read first and
//! written as it is, on the condition that nobody changed the twin in between.

use hotshoe_core::twin::validate_patch;
use serde_json::{Map, Value, json};

use super::{conflict, show};
use crate::{
    args::Patch,
    context::Context,
    failure::{Exit, Failure},
    hub::Of,
    input,
};

pub(super) async fn merge(context: &Context<'_>, patch: &Patch) -> Result<(), Failure> {
    let tags = patch.tags.as_deref().map(|text| read(text, "the patch of the tags")).transpose()?;
    let desired =
        patch.desired.as_deref().map(|text| read(text, "the patch of the desired properties")).transpose()?;
    send(context, patch.of.of(), body(tags, desired), patch.if_match.as_deref()).await
}

pub(super) async fn replace(context: &Context<'_>, patch: &Patch) -> Result<(), Failure> {
    let of = patch.of.of();
    let mut tags = patch.tags.as_deref().map(|text| read(text, "the new tags")).transpose()?;
    let mut desired =
        patch.desired.as_deref().map(|text| read(text, "the new desired properties")).transpose()?;
    let mut etag = conflict::plain(patch.if_match.as_deref()).map(str::to_owned);
    if tags.is_none() || desired.is_none() {
        let twin = context.hub.twin(of).await?;
        tags = tags.or_else(|| Some(twin.get("tags").cloned().unwrap_or(json!({}))));
        desired = desired.or_else(|| Some(own(twin.pointer("/properties/desired"))));
        etag = etag.or_else(|| twin.get("etag").and_then(Value::as_str).map(str::to_owned));
    }
    match context.hub.replace_twin(of, body(tags, desired), etag.as_deref()).await {
        Ok(twin) => told(context, &twin),
        Err(error) => Err(conflict::explained(context, of, etag.as_deref(), error).await),
    }
}

/// Merges a patch that was checked, and prints the twin.
pub(super) async fn send(
    context: &Context<'_>,
    of: Of<'_>,
    patch: Value,
    if_match: Option<&str>,
) -> Result<(), Failure> {
    let etag = conflict::plain(if_match);
    match context.hub.patch_twin(of, patch, etag).await {
        Ok(twin) => told(context, &twin),
        Err(error) => Err(conflict::explained(context, of, etag, error).await),
    }
}

fn told(context: &Context<'_>, twin: &Value) -> Result<(), Failure> {
    if context.output.json() { context.output.document(twin) } else { show::print(context, twin) }
}

/// What is sent of tags and desired properties, where they are given.
pub(super) fn body(tags: Option<Value>, desired: Option<Value>) -> Value {
    let mut body = Map::new();
    if let Some(tags) = tags {
        body.insert("tags".to_owned(), tags);
    }
    if let Some(desired) = desired {
        body.insert("properties".to_owned(), json!({ "desired": desired }));
    }
    Value::Object(body)
}

/// Checks a patch with the hub's own rules, so that a mistake is named by its path.
pub(super) fn checked(patch: Value, what: &str) -> Result<Value, Failure> {
    validate_patch(&patch).map_err(|error| Failure::new(Exit::Data, format!("{what}: {error}")))?;
    Ok(patch)
}

fn read(text: &str, what: &str) -> Result<Value, Failure> {
    checked(input::json(text, what)?, what)
}

/// A section without what the hub adds to it.
fn own(section: Option<&Value>) -> Value {
    let members = section.and_then(Value::as_object).into_iter().flatten();
    members
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
