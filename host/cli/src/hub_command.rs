//! `hotshoe hub …`: the hub itself, not one of its devices.

mod jobs;
mod monitor;

use serde_json::{Value, json};

use crate::{args::HubCommand, context::Context, failure::Failure, hub::HubError, output::Table};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &HubCommand) -> Result<(), Failure> {
    match command {
        HubCommand::Show => show(context).await,
        HubCommand::Monitor(monitor) => monitor::run(context, monitor).await,
        HubCommand::Job(command) => jobs::run(context, command).await,
    }
}

/// Each count needs a right of its own; what the policy does not allow is left out, unless nothing is left.
async fn show(context: &Context<'_>) -> Result<(), Failure> {
    let refused = |error: &HubError| matches!(error.status(), Some(401 | 403));
    let devices = context.hub.device_statistics().await;
    let connections = match (context.hub.service_statistics().await, &devices) {
        (Err(error), Ok(_)) if refused(&error) => Value::Null,
        (connections, _) => connections?,
    };
    let devices = match devices {
        Err(error) if refused(&error) => Value::Null,
        devices => devices?,
    };
    let number = |of: &Value, name: &str| of.get(name).cloned().unwrap_or_default();
    let counts = [
        ("devices", number(&devices, "totalDeviceCount")),
        ("enabled", number(&devices, "enabledDeviceCount")),
        ("disabled", number(&devices, "disabledDeviceCount")),
        ("connected", number(&connections, "connectedDeviceCount")),
    ];
    if context.output.json() {
        let mut shown = json!({ "host": context.hub.host() });
        if let Some(members) = shown.as_object_mut() {
            members.extend(counts.map(|(name, count)| (name.to_owned(), count)));
        }
        return context.output.document(&shown);
    }
    let mut table = Table::plain(0);
    table.row(["host", context.hub.host()]);
    for (name, count) in counts {
        let count = if count.is_null() { "not allowed to see".to_owned() } else { count.to_string() };
        table.row([name, &count]);
    }
    context.output.table(&table)
}
