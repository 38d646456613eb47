//! `hotshoe device export`: all devices as lines that an import reads.
//!
//! A query gives identities and twins page by page, so the fleet is never in memory as a whole. It has no keys: with
//! `--keys` each identity is asked for, a few at a time.

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::list::select;
use crate::{
    args::Export,
    context::Context,
    failure::{Exit, Failure},
    hub::{Of, PAGE},
};

/// How many identities are asked for at the same time.
const AT_ONCE: usize = 8;

pub(super) async fn run(context: &Context<'_>, export: &Export) -> Result<(), Failure> {
    let query = select(export.condition.as_deref());
    let mut from: Option<String> = None;
    loop {
        let page = context.hub.query_page(&query, PAGE, from.as_deref()).await?;
        let lines = stream::iter(page.rows).map(async |twin| {
            let line = line(&twin)?;
            if export.keys { with_keys(context, line).await } else { Ok(line) }
        });
        let mut lines = std::pin::pin!(lines.buffered(AT_ONCE));
        while let Some(line) = lines.next().await {
            context.output.json_line(&line?)?;
        }
        match page.next {
            Some(next) if context.output.is_read() => from = Some(next),
            _ => return Ok(()),
        }
    }
}

async fn with_keys(context: &Context<'_>, mut line: Value) -> Result<Value, Failure> {
    let id = line.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let identity = context.hub.identity(Of::device(&id)).await?;
    if let (Some(members), Some(authentication)) = (line.as_object_mut(), identity.get("authentication")) {
        members.insert("authentication".to_owned(), authentication.clone());
    }
    Ok(line)
}

/// What of a twin an import takes.
fn line(twin: &Value) -> Result<Value, Failure> {
    let id = twin.get("deviceId").and_then(Value::as_str).ok_or_else(|| {
        Failure::new(Exit::Software, "the hub's answer to the query has rows without a deviceId")
    })?;
    let mut line = Map::new();
    line.insert("id".to_owned(), json!(id));
    for name in ["status", "statusReason", "tags"] {
        if let Some(value) = twin.get(name).filter(|value| !value.is_null() && value.as_str() != Some("")) {
            line.insert(name.to_owned(), value.clone());
        }
    }
    match twin.get("authenticationType").and_then(Value::as_str) {
        Some(kind @ "selfSigned") => {
            let thumbprints = twin.get("x509Thumbprint").cloned().unwrap_or_default();
            line.insert("authentication".to_owned(), json!({ "type": kind, "x509Thumbprint": thumbprints }));
        }
        Some(kind @ "certificateAuthority") => {
            line.insert("authentication".to_owned(), json!({ "type": kind }));
        }
        _ => {}
    }
    let desired = twin.pointer("/properties/desired").and_then(Value::as_object).into_iter().flatten();
    let desired: Map<String, Value> = desired
        .filter(|(key, _)| !key.starts_with('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !desired.is_empty() {
        line.insert("properties".to_owned(), json!({ "desired": desired }));
    }
    Ok(Value::Object(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_an_import_takes_and_no_more() {
        let twin = json!({"deviceId": "d", "etag": "x", "status": "disabled", "statusReason": "", "version": 3,
            "authenticationType": "certificateAuthority", "tags": {"plant": 1},
            "properties": {"desired": {"a": 1, "$version": 2, "$metadata": {}}, "reported": {"b": 1}}});
        assert_eq!(
            line(&twin).unwrap(),
            json!({"id": "d", "status": "disabled", "tags": {"plant": 1}, "properties": {"desired": {"a": 1}},
                "authentication": {"type": "certificateAuthority"}})
        );
        assert_eq!(line(&json!({"deviceId": "e", "authenticationType": "sas"})).unwrap(), json!({"id": "e"}));
        assert!(line(&json!({})).is_err());
    }
}
