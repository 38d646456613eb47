//! `hotshoe device import`: JSON lines to the hub, a hundred in one request.
//!
//! All lines are read and checked before anything is sent. The hub does what it can of a request and names what it
//! refuses; so does this, and goes on with the next hundred. A request that failed for the moment (throttling, a hub
//! that is away) is repeated a few times: the lines of it that were done are then told as refused because they are
//! there already.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    args::{Import, ImportMode},
    context::Context,
    failure::{Exit, Failure},
    hub::BULK,
    output::Table,
};

/// How often a request that failed for the moment is sent, and how long is waited before the second time.
const TIMES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn import(context: &Context<'_>, import: &Import) -> Result<(), Failure> {
    let lines = read(&import.file)?;
    let devices = lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let devices = devices.map(|(number, line)| device(line, import.mode, &import.file, number + 1));
    let devices = devices.collect::<Result<Vec<Value>, Failure>>()?;
    let mut refused = Vec::new();
    for hundred in devices.chunks(BULK) {
        let answer = send(context, hundred).await?;
        let errors = answer.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        refused.extend(errors);
    }
    let done = devices.len().saturating_sub(refused.len());
    if context.output.json() {
        context.output.document(&json!({ "done": done, "refused": refused }))?;
    } else {
        context.output.line(&format!("{done} of {} devices done", devices.len()))?;
        let mut table = Table::new(["REFUSED", "CODE", "WHY"]);
        for error in &refused {
            let text = |name: &str| match error.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            table.row([&text("deviceId"), &text("errorCode"), &text("errorStatus")]);
        }
        if !refused.is_empty() {
            context.output.table(&table)?;
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Data, format!("the hub refused {} of {} devices", refused.len(), devices.len())))
}

async fn send(context: &Context<'_>, devices: &[Value]) -> Result<Value, Failure> {
    let mut pause = PAUSE;
    for _ in 1..TIMES {
        match context.hub.bulk(devices.to_vec()).await {
            Err(error) if error.passes() => {
                context.output.note(&format!("{error}; again in {} s", pause.as_secs()));
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return Ok(other?),
        }
    }
    Ok(context.hub.bulk(devices.to_vec()).await?)
}

fn read(file: &str) -> Result<Vec<String>, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::NoInput, format!("could not read {file}: {error}"));
    if file == "-" {
        return stdin().lock().lines().collect::<Result<_, _>>().map_err(failed);
    }
    BufReader::new(File::open(file).map_err(failed)?).lines().collect::<Result<_, _>>().map_err(failed)
}

/// A line as the hub takes it: `id`, `importMode`, and what else stands there.
fn device(line: &str, mode: ImportMode, file: &str, number: usize) -> Result<Value, Failure> {
    let wrong = |reason: String| Failure::new(Exit::Data, format!("{file}, line {number}: {reason}"));
    let mut device: Value =
        serde_json::from_str(line).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let members = device.as_object_mut().ok_or_else(|| wrong("a device is a JSON object".to_owned()))?;
    if let Some(id) = members.remove("deviceId") {
        members.entry("id").or_insert(id);
    }
    let id = members
        .get("id")
        .and_then(Value::as_str)
        .ok_or_else(|| wrong("it has no `id`".to_owned()).hint("a line is at least {\"id\": \"pump-7\"}"))?;
    crate::args::device_id(id).map_err(wrong)?;
    let mode = match mode {
        ImportMode::Create => "create",
        ImportMode::Update => "update",
        ImportMode::UpdateTwin => "updateTwin",
        ImportMode::Delete => "delete",
    };
    members.entry("importMode").or_insert_with(|| json!(mode));
    if matches!(members.get("importMode").and_then(Value::as_str), Some("create")) {
        members.entry("status").or_insert_with(|| json!("enabled"));
        members.entry("authentication").or_insert_with(super::new_keys);
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_what_it_does_not_say() {
        let read = |line: &str, mode| device(line, mode, "f", 3);
        let created = read("{\"deviceId\": \"d\", \"tags\": {\"a\": 1}}", ImportMode::Create).unwrap();
        assert_eq!(
            created,
            json!({"id": "d", "importMode": "create", "status": "enabled", "tags": {"a": 1},
                "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}})
        );
        let own = read("{\"id\": \"d\", \"importMode\": \"update\"}", ImportMode::Create).unwrap();
        assert_eq!(own, json!({"id": "d", "importMode": "update"}));
        let gone = read("{\"id\": \"d\"}", ImportMode::Delete).unwrap();
        assert_eq!(gone, json!({"id": "d", "importMode": "delete"}));
        for line in ["{", "[]", "{}", "{\"id\": \"a/b\"}"] {
            let failure = read(line, ImportMode::Create).unwrap_err();
            assert!(failure.text.starts_with("f, line 3: "), "{failure}");
        }
    }
}
