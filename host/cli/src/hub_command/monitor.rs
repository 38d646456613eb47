//! `hotshoe hub monitor`: what happens at the hub, as it happens.
//!
//! Nothing is asked for again: what happened before, or while the connection was down, is not told. That it was down,
//! and that events were lost because this reader was slow, is said on stderr.

use std::time::Duration;

use serde_json::Value;

use crate::{
    args::Monitor,
    context::Context,
    failure::{Exit, Failure},
    hub::Watched,
    output::harmless,
};

/// How long to wait before listening anew.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context<'_>, monitor: &Monitor) -> Result<(), Failure> {
    if context.hub.is_azure() {
        return Err(not_offered(context));
    }
    let mut left = monitor.limit.unwrap_or(u64::MAX);
    let mut listened = false;
    loop {
        let watched = Watched { device: monitor.device.as_deref(), kinds: &monitor.kinds };
        match context.hub.events(watched).await {
            Ok(mut events) => {
                if listened {
                    context.output.note("listening again; what happened meanwhile is not told");
                } else if !context.output.json() {
                    context.output.note("listening");
                }
                listened = true;
                loop {
                    match events.next().await {
                        Ok(Some(event)) => left -= u64::from(told(context, &event)?),
                        Ok(None) => break context.output.note("the hub ended the connection"),
                        Err(error) if error.passes() => break context.output.note(&error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                    if left == 0 || (monitor.limit.is_none() && !context.output.is_read()) {
                        return Ok(());
                    }
                }
            }
            Err(error) if error.status() == Some(404) => return Err(not_offered(context)),
            Err(error) if listened && error.passes() => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn not_offered(context: &Context<'_>) -> Failure {
    let host = context.hub.host();
    let name = host.split('.').next().unwrap_or(host);
    Failure::new(
        Exit::Unavailable,
        format!("{host} tells its events over AMQP (its Event Hubs endpoint), which this tool does not speak"),
    )
    .hint(format!(
        "`az iot hub monitor-events --hub-name {name}` shows telemetry, and twin changes that are routed there; \
         `hotshoe twin watch DEVICE` follows one twin without it"
    ))
}

/// Prints an event; false where it was only that events were lost.
fn told(context: &Context<'_>, event: &Value) -> Result<bool, Failure> {
    if let Some(missed) = event.get("missed") {
        context.output.note(&format!("{missed} events were lost: this reader was too slow"));
        return Ok(false);
    }
    if context.output.json() {
        context.output.json_line(event)?;
        return Ok(true);
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("time").get(11..19).unwrap_or_default();
    let of = match (text("device"), text("module")) {
        ("", _) => "-".to_owned(),
        (device, "") => device.to_owned(),
        (device, module) => format!("{device}/{module}"),
    };
    let line = format!("{of}  {}", details(event));
    let kind = context.output.strong(&format!("{:<12}", text("kind")));
    context.output.line(&format!("{time}  {kind}  {}", harmless(line.trim_end())))?;
    Ok(true)
}

/// What is told of an event beside its time, kind and device.
fn details(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let shown = |name: &str| event.get(name).map(Value::to_string).unwrap_or_default();
    match text("kind") {
        "telemetry" => match text("properties") {
            "" => text("body").to_owned(),
            properties => format!("{} [{properties}]", text("body")),
        },
        "twin" => format!("{} (version {}) {}", text("section"), shown("version"), shown("patch")),
        "disconnected" => text("reason").to_owned(),
        "method" => match event.get("status") {
            Some(status) => format!("{} answered {status} after {} ms", text("name"), shown("milliseconds")),
            None => format!("{}: {}", text("name"), text("error")),
        },
        "updated" => text("status").to_owned(),
        "job" => format!("{} {}", text("id"), text("status")),
        "configuration" => text("id").to_owned(),
        _ => {
            let own = ["kind", "time", "device", "module"];
            let rest =
                event.as_object().into_iter().flatten().filter(|(name, _)| !own.contains(&name.as_str()));
            let rest: serde_json::Map<String, Value> =
                rest.map(|(name, value)| (name.clone(), value.clone())).collect();
            if rest.is_empty() { String::new() } else { Value::Object(rest).to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_is_told_in_its_own_words() {
        for (event, line) in [
            (json!({"kind": "telemetry", "body": "{\"t\": 7}", "properties": "a=b"}), "{\"t\": 7} [a=b]"),
            (json!({"kind": "telemetry", "body": "x", "properties": ""}), "x"),
            (
                json!({"kind": "twin", "section": "reported", "version": 4, "patch": {"a": 1}}),
                "reported (version 4) {\"a\":1}",
            ),
            (
                json!({"kind": "method", "name": "ping", "status": 200, "milliseconds": 3}),
                "ping answered 200 after 3 ms",
            ),
            (json!({"kind": "method", "name": "ping", "error": "DeviceNotOnline"}), "ping: DeviceNotOnline"),
            (json!({"kind": "connected", "time": "t", "device": "d"}), ""),
            (json!({"kind": "new", "device": "d", "x": 1}), "{\"x\":1}"),
        ] {
            assert_eq!(details(&event), line);
        }
    }
}
