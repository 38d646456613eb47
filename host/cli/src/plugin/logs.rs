//! `hotshoe plugin logs`: what a plugin wrote, and what the host wrote about it.

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::Value;

use crate::admin::Admin;
use crate::args::Logs;
use crate::failure::Failure;
use crate::output::{Output, harmless};

pub(super) async fn run(output: &Output, logs: &Logs) -> Result<(), Failure> {
    let admin = Admin::new(&logs.socket.socket)?;
    let path = format!("/plugins/{}/logs?follow={}", logs.name, logs.follow);
    let shown = |line: Value| {
        if output.json() {
            output.json_line(&line)?
        } else {
            output.line(&told(&line))?
        }
        Ok(if output.is_read() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    };
    admin.lines(&path, shown).await
}

/// `2026-11-23T02:17:37Z 1.0.0 warn  [host] the text name=value`
fn told(line: &Value) -> String {
    if let Some(missed) = line.get("missed").and_then(Value::as_u64) {
        return format!("… {missed} lines came too fast to be shown");
    }
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let at = line.get("at").and_then(Value::as_i64).unwrap_or_default();
    let at = Timestamp::from_millisecond(at).map(|at| format!("{at:.3}")).unwrap_or_default();
    let host = if text("author") == "host" { "[host] " } else { "" };
    let fields = text("fields");
    let space = if fields.is_empty() { "" } else { " " };
    let (version, level, message) = (text("version"), text("level"), text("message"));
    harmless(&format!("{at} {version} {level:<5} {host}{message}{space}{fields}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_when_who_and_what() {
        let line = json!({ "number": 3, "at": 1_795_305_600_123_u64, "version": "1.0.0", "author": "host",
            "level": "warn", "message": "it trapped", "fields": "a=1" });
        assert_eq!(told(&line), "2026-11-22T00:00:00.123Z 1.0.0 warn  [host] it trapped a=1");
        assert_eq!(told(&json!({ "missed": 7 })), "… 7 lines came too fast to be shown");
    }
}
