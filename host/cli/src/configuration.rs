//! `hotshoe configuration …`: automatic configurations, which the hub keeps applied by itself.

use serde_json::{Map, Value, json};

use crate::{
    args::{ConfigurationCommand, CreateConfiguration},
    context::Context,
    failure::Failure,
    input,
    output::Table,
};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &ConfigurationCommand) -> Result<(), Failure> {
    match command {
        ConfigurationCommand::List => list(context).await,
        ConfigurationCommand::Show { id } => show(context, id).await,
        ConfigurationCommand::Create(create) => self::create(context, create).await,
        ConfigurationCommand::Delete { id } => {
            context.hub.delete_configuration(id).await?;
            if context.output.json() {
                return context.output.document(&json!({ "deleted": id }));
            }
            context.output.line(&format!("deleted {id}"))
        }
    }
}

async fn list(context: &Context<'_>) -> Result<(), Failure> {
    let configurations = context.hub.configurations().await?;
    if context.output.json() {
        return context.output.document(&Value::Array(configurations));
    }
    let mut table = Table::new(["CONFIGURATION", "PRIORITY", "TARGET", "TARGETED", "APPLIED"]);
    for one in &configurations {
        table.row([
            &text(one, "/id"),
            &text(one, "/priority"),
            &text(one, "/targetCondition"),
            &text(one, "/systemMetrics/results/targetedCount"),
            &text(one, "/systemMetrics/results/appliedCount"),
        ]);
    }
    context.output.table(&table)
}

async fn show(context: &Context<'_>, id: &str) -> Result<(), Failure> {
    let configuration = context.hub.configuration(id).await?;
    if context.output.json() {
        return context.output.document(&configuration);
    }
    let mut table = Table::plain(0);
    for (name, pointer) in [
        ("configuration", "/id"),
        ("priority", "/priority"),
        ("target", "/targetCondition"),
        ("created", "/createdTimeUtc"),
        ("updated", "/lastUpdatedTimeUtc"),
        ("etag", "/etag"),
    ] {
        let value = text(&configuration, pointer);
        if !value.is_empty() {
            table.row([name, &value]);
        }
    }
    context.output.table(&table)?;
    for (heading, pointer) in [
        ("labels", "/labels"),
        ("device content", "/content/deviceContent"),
        ("module content", "/content/moduleContent"),
        ("system metrics", "/systemMetrics/results"),
        ("metrics", "/metrics/results"),
    ] {
        let members =
            configuration.pointer(pointer).and_then(Value::as_object).filter(|members| !members.is_empty());
        let Some(members) = members else { continue };
        context.output.line("")?;
        context.output.line(&context.output.strong(heading))?;
        let mut table = Table::plain(2);
        for (name, value) in members {
            table.row([name.as_str(), &value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
        context.output.table(&table)?;
    }
    Ok(())
}

async fn create(context: &Context<'_>, create: &CreateConfiguration) -> Result<(), Failure> {
    let texts = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs.iter().map(|(name, text)| (name.clone(), json!(text))).collect()
    };
    let body = json!({
        "id": create.id,
        "schemaVersion": "1.0",
        "labels": texts(&create.labels),
        "content": input::json(&create.content, "the content")?,
        "targetCondition": create.target,
        "priority": create.priority,
        "metrics": { "queries": texts(&create.metrics) },
    });
    let made = context.hub.put_configuration(&create.id, body, None).await?;
    if context.output.json() {
        return context.output.document(&made);
    }
    context.output.line(&format!("created {}", create.id))
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
