//! What a rollout has come to, as two files: JSON for programs with every device, and a page of text for people.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{look::Look, outcome::Outcome, record::Record};
use crate::{failure::Failure, files, output::harmless};

/// How many devices the text names; the JSON has all of them.
const NAMED: usize = 200;

/// Writes `rollout-NAME.json` and `rollout-NAME.md`; gives the path of the latter.
pub(super) fn write(
    directory: &Path,
    record: &Record,
    look: &Look,
    now: Timestamp,
) -> Result<PathBuf, Failure> {
    let place = |kind: &str| directory.join(format!("rollout-{}.{kind}", record.name));
    let json = format!("{:#}\n", document(record, look, now));
    files::replace(&place("json"), json.as_bytes(), files::READABLE)?;
    let path = place("md");
    files::replace(&path, text(record, look, now).as_bytes(), files::READABLE)?;
    Ok(path)
}

/// The whole as JSON.
pub(super) fn document(record: &Record, look: &Look, now: Timestamp) -> Value {
    let waves = record.progress.waves.iter().enumerate().map(|(number, wave)| {
        let counts = look.counts.get(number).copied().unwrap_or_default();
        let seen = counts.waiting + counts.completed + counts.failed + counts.unreachable;
        json!({
            "wave": number + 1,
            "devices": wave.devices,
            "started": wave.started,
            "ended": wave.ended,
            "waiting": counts.waiting,
            "completed": counts.completed,
            "failed": counts.failed,
            "unreachable": counts.unreachable,
            // Deleted at the hub since they got their tag.
            "gone": if wave.started.is_some() { wave.devices.saturating_sub(seen) } else { 0 },
        })
    });
    let devices = look.devices.iter().map(|(device, (wave, outcome))| {
        json!({ "device": device, "wave": wave + 1, "outcome": outcome.word(), "reason": outcome.reason() })
    });
    json!({
        "rollout": record.name.to_string(),
        "what": record.plan.what.to_string(),
        "plan": record.plan,
        "state": record.progress.state,
        "reason": record.progress.reason,
        "time": now,
        "waves": waves.collect::<Vec<_>>(),
        "devices": devices.collect::<Vec<_>>(),
    })
}

fn text(record: &Record, look: &Look, now: Timestamp) -> String {
    let (plan, progress) = (&record.plan, &record.progress);
    let reason = progress.reason.as_deref().map(|why| format!(": {}", harmless(why))).unwrap_or_default();
    let waves = plan.waves.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "# Rollout {}\n\n{}{reason}, as of {now:.0}.\n\n- what: {}\n- for: {}\n- waves: {waves}; aborts over {}; \
         soaks {} s; a device has {} s\n\n| wave | devices | began | ended | completed | failed | unreachable | waiting |\n\
         |---|---|---|---|---|---|---|---|\n",
        record.name,
        progress.state.word(),
        plan.what,
        harmless(&plan.condition),
        plan.abort_over,
        plan.soak,
        plan.timeout
    );
    for (number, wave) in progress.waves.iter().enumerate() {
        let counts = look.counts.get(number).copied().unwrap_or_default();
        let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.0}")).unwrap_or_default();
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            number + 1,
            wave.devices,
            time(wave.started),
            time(wave.ended),
            counts.completed,
            counts.failed,
            counts.unreachable,
            counts.waiting
        ));
    }
    let others: Vec<_> =
        look.devices.iter().filter(|(_, (_, outcome))| *outcome != Outcome::Completed).collect();
    if others.is_empty() {
        return text;
    }
    text.push_str("\n| device | wave | outcome | why |\n|---|---|---|---|\n");
    for (device, (wave, outcome)) in others.iter().take(NAMED) {
        let why = harmless(outcome.reason().unwrap_or_default()).replace('|', "\\|");
        text.push_str(&format!("| {device} | {} | {} | {why} |\n", wave + 1, outcome.word()));
    }
    if others.len() > NAMED {
        text.push_str(&format!("\nand {} more, which the JSON file has.\n", others.len() - NAMED));
    }
    text
}
