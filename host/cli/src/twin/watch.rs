//! `hotshoe twin watch`: asks every half second and prints what changed.
//!
//! IoT Hub's REST cannot wait for a change, so this asks. A hub that is away for a moment is told once and asked
//! again; what changed meanwhile is printed when it is back.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::leaves::{Change, changes, twin_leaves};
use crate::{
    args::Watch,
    context::Context,
    failure::{Exit, Failure},
    output::{harmless, harmless_json},
};

const INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context<'_>, watch: &Watch) -> Result<(), Failure> {
    let until = watch.until.as_deref().map(condition).transpose()?;
    let reached =
        |twin: &Value| until.as_ref().is_some_and(|(path, value)| twin_leaves(twin).get(path) == Some(value));
    let first = context.hub.twin(watch.of.of()).await?;
    let mut known = twin_leaves(&first);
    if reached(&first) {
        return Ok(());
    }
    let mut away = false;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let twin = match context.hub.twin(watch.of.of()).await {
            Ok(twin) => twin,
            Err(error) if error.passes() => {
                if !away {
                    context.output.note(&format!("{error}; still trying"));
                }
                away = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = false;
        let now = twin_leaves(&twin);
        for change in changes(&known, &now) {
            print(context, (context.clock)(), &change)?;
        }
        known = now;
        if reached(&twin) || (until.is_none() && !context.output.is_read()) {
            return Ok(());
        }
    }
}

fn condition(text: &str) -> Result<(String, Value), Failure> {
    let wrong = |reason: &str| {
        Failure::new(Exit::Usage, format!("--until {text}: {reason}"))
            .hint("for the shell: --until reported.firmwareStatus='\"completed\"'")
    };
    let (path, value) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    if !["tags.", "desired.", "reported."].iter().any(|part| path.starts_with(part)) && path != "connection" {
        return Err(wrong("the path begins with `tags.`, `desired.` or `reported.`, or is `connection`"));
    }
    let value =
        serde_json::from_str(value).map_err(|error| wrong(&format!("the value is not JSON: {error}")))?;
    Ok((path.to_owned(), value))
}

fn print(context: &Context<'_>, now: Timestamp, change: &Change) -> Result<(), Failure> {
    if context.output.json() {
        let mut line = json!({ "time": format!("{now:.3}"), "path": change.path });
        if let Some(members) = line.as_object_mut() {
            let before = change.before.clone().map(|value| ("before".to_owned(), value));
            let after = change.after.clone().map(|value| ("after".to_owned(), value));
            members.extend(before.into_iter().chain(after));
        }
        return context.output.json_line(&line);
    }
    let time = now.strftime("%H:%M:%S");
    let shown = |value: &Option<Value>, none: &str| {
        value.as_ref().map_or(none.to_owned(), |value| harmless_json(&value.to_string()))
    };
    let path = harmless(&change.path);
    let (before, after) = (shown(&change.before, "(none)"), shown(&change.after, "(deleted)"));
    context.output.line(&format!("{time}  {}  {before} → {after}", context.output.strong(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_a_path_and_a_json_value() {
        assert_eq!(condition("reported.a.b=\"c\"").unwrap(), ("reported.a.b".to_owned(), json!("c")));
        for text in ["reported.a", "a=1", "reported.a=completed"] {
            assert_eq!(condition(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
