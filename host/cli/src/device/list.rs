//! `hotshoe device list` and `modules`.
//!
//! The registry lists a thousand devices and has no pages; beyond them, and for a condition, a query is asked.

use serde_json::{Value, json};

use super::{text, time, without_keys};
use crate::{args::List, context::Context, failure::Failure, output::Table};

/// The most that the registry lists.
const MOST: usize = 1000;

pub(super) async fn devices(context: &Context<'_>, list: &List) -> Result<(), Failure> {
    let mut devices = if list.all || list.condition.is_some() {
        let twins = context.hub.query(&select(list.condition.as_deref())).await?;
        twins.into_iter().map(identity).collect()
    } else {
        let devices = context.hub.devices(list.top).await?;
        if devices.len() >= MOST {
            context
                .output
                .note("the registry lists 1000 devices and there may be more: --all asks for all of them");
        }
        devices
    };
    devices.sort_by(|one, other| text(one, "/deviceId").cmp(text(other, "/deviceId")));
    if context.output.json() {
        return context.output.document(&devices.into_iter().map(without_keys).collect());
    }
    let mut table = Table::new(["DEVICE", "STATUS", "CONNECTION", "AUTHENTICATION", "LAST ACTIVITY"]);
    for device in &devices {
        table.row([
            text(device, "/deviceId"),
            text(device, "/status"),
            text(device, "/connectionState"),
            text(device, "/authentication/type"),
            time(text(device, "/lastActivityTime")),
        ]);
    }
    context.output.table(&table)
}

pub(super) async fn modules(context: &Context<'_>, device: &str) -> Result<(), Failure> {
    let modules = context.hub.modules(device).await?;
    if context.output.json() {
        return context.output.document(&modules.into_iter().map(without_keys).collect());
    }
    let mut table = Table::new(["MODULE", "CONNECTION", "AUTHENTICATION", "LAST ACTIVITY"]);
    for module in &modules {
        table.row([
            text(module, "/moduleId"),
            text(module, "/connectionState"),
            text(module, "/authentication/type"),
            time(text(module, "/lastActivityTime")),
        ]);
    }
    context.output.table(&table)
}

/// The query for all devices, or those for which a condition holds.
pub(super) fn select(condition: Option<&str>) -> String {
    match condition {
        Some(condition) => format!("SELECT * FROM devices WHERE {condition}"),
        None => "SELECT * FROM devices".to_owned(),
    }
}

/// What a twin says of its identity, in the registry's shape.
fn identity(twin: Value) -> Value {
    let said = |name: &str| twin.get(name).cloned().unwrap_or_default();
    json!({
        "deviceId": said("deviceId"),
        "status": said("status"),
        "statusReason": said("statusReason"),
        "connectionState": said("connectionState"),
        "lastActivityTime": said("lastActivityTime"),
        "authentication": { "type": said("authenticationType") },
    })
}
