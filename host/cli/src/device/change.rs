//! `hotshoe device update`, `enable` and `disable`.
//!
//! An identity is written whole, so it is read first and written with its etag: who changed it in between is not
//! overwritten, and the command says so.

use serde_json::{Map, Value, json};

use super::{keys, proof, without_keys};
use crate::{
    args::{DeviceUpdate, Status},
    context::Context,
    failure::{Exit, Failure},
    hub::Of,
};

pub(super) async fn update(context: &Context<'_>, update: &DeviceUpdate) -> Result<(), Failure> {
    let of = update.of.of();
    let authentication = if update.keys { Some(keys::made()?) } else { proof(&update.proof) };
    let changed = change(context, of, |identity| {
        if let Some(authentication) = authentication {
            identity.insert("authentication".to_owned(), authentication);
        }
        if let Some(reason) = &update.reason {
            identity.insert("statusReason".to_owned(), json!(reason));
        }
    });
    told(context, of, changed.await?, "updated")
}

pub(super) async fn status(context: &Context<'_>, status: &Status, word: &str) -> Result<(), Failure> {
    let of = Of::device(&status.device);
    let changed = change(context, of, |identity| {
        identity.insert("status".to_owned(), json!(word));
        identity.insert("statusReason".to_owned(), json!(status.reason.as_deref().unwrap_or_default()));
    });
    told(context, of, changed.await?, word)
}

/// Reads an identity, changes it, and writes it if nobody else did meanwhile.
pub(super) async fn change(
    context: &Context<'_>,
    of: Of<'_>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Value, Failure> {
    let mut identity = context.hub.identity(of).await?;
    let etag = identity.get("etag").and_then(Value::as_str).unwrap_or("*").to_owned();
    let members = identity.as_object_mut().ok_or_else(|| {
        Failure::new(Exit::Software, format!("the hub's answer about {of} is not an identity"))
    })?;
    change(members);
    context.hub.update_identity(of, identity, &etag).await.map_err(|error| {
        let conflict = error.status() == Some(412);
        let failure = Failure::from(error);
        if conflict {
            failure.hint(format!(
                "somebody changed {of} at the same moment; nothing was written, so run it again"
            ))
        } else {
            failure
        }
    })
}

fn told(context: &Context<'_>, of: Of<'_>, identity: Value, word: &str) -> Result<(), Failure> {
    if context.output.json() {
        return context.output.document(&without_keys(identity));
    }
    context.output.line(&format!("{word} {of}"))
}
