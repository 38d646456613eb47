//! `hotshoe twin patch`

use hotshoe_core::twin::validate_patch;
use serde_json::{Map, Value, json};

use super::show;
use crate::{
    args::Patch,
    context::Context,
    failure::{Exit, Failure},
    input,
};

pub(super) async fn run(context: &Context<'_>, patch: &Patch) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(text) = &patch.tags {
        body.insert("tags".to_owned(), read(text, "the patch of the tags")?);
    }
    if let Some(text) = &patch.desired {
        body.insert(
            "properties".to_owned(),
            json!({ "desired": read(text, "the patch of the desired properties")? }),
        );
    }
    let etag = patch.if_match.as_deref().map(|etag| etag.trim_matches('"'));
    let twin = context.hub.patch_twin(&patch.device, Value::Object(body), etag).await?;
    if context.output.json() { context.output.document(&twin) } else { show::print(context, &twin) }
}

/// Reads a patch and checks it with the hub's own rules, so that a mistake is named by its path.
fn read(text: &str, what: &str) -> Result<Value, Failure> {
    let patch = input::json(text, what)?;
    validate_patch(&patch).map_err(|error| Failure::new(Exit::Data, format!("{what}: {error}")))?;
    Ok(patch)
}
