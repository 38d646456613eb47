//! `hotshoe twin show`

use serde_json::Value;

use super::leaves::{PARTS, leaves};
use crate::{context::Context, failure::Failure, hub::Of, output::Table};

pub(super) async fn run(context: &Context<'_>, of: Of<'_>) -> Result<(), Failure> {
    let twin = context.hub.twin(of).await?;
    if context.output.json() {
        return context.output.document(&twin);
    }
    print(context, &twin)
}

/// Prints a twin for people.
pub(super) fn print(context: &Context<'_>, twin: &Value) -> Result<(), Failure> {
    let mut head = Table::plain(0);
    for name in ["deviceId", "moduleId", "status", "connectionState", "version", "etag"] {
        match twin.get(name) {
            Some(Value::String(text)) => head.row([name, text]),
            Some(Value::Null) | None => {}
            Some(other) => head.row([name, &other.to_string()]),
        }
    }
    context.output.table(&head)?;
    for (part, pointer) in PARTS {
        let Some(section) = twin.pointer(pointer) else { continue };
        let version =
            section.get("$version").map(|version| format!(" (version {version})")).unwrap_or_default();
        context.output.line("")?;
        context.output.line(&context.output.strong(&format!("{part}{version}")))?;
        let mut table = Table::plain(2);
        for (path, value) in leaves(section) {
            table.row([&path, &value.to_string(), updated(section, &path).unwrap_or_default()]);
        }
        context.output.table(&table)?;
    }
    Ok(())
}

/// When a property was last set, as the metadata beside it tells.
fn updated<'a>(section: &'a Value, path: &str) -> Option<&'a str> {
    let start = section.get("$metadata")?;
    path.split('.').try_fold(start, |place, key| place.get(key))?.get("$lastUpdated")?.as_str()
}
