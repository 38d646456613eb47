//! `hotshoe method …`: direct methods.

use std::time::Instant;

use hotshoe_core::method::PAYLOAD_LIMIT;
use serde_json::{Value, json};

use crate::{
    args::{Invoke, MethodCommand},
    context::Context,
    failure::{Exit, Failure},
    hub::{Answer, Call},
    input,
    output::harmless_json,
};

/// Carries out a command.
pub(crate) async fn run(context: &Context<'_>, command: &MethodCommand) -> Result<(), Failure> {
    let MethodCommand::Invoke(invoke) = command;
    self::invoke(context, invoke).await
}

async fn invoke(context: &Context<'_>, invoke: &Invoke) -> Result<(), Failure> {
    let Invoke { of, name, payload, timeout, connect_timeout, repeat } = invoke;
    let payload = match payload {
        Some(text) => input::json(text, "the payload")?,
        None => Value::Null,
    };
    let size = payload.to_string().len();
    if size > PAYLOAD_LIMIT {
        let text = format!("the payload has {size} bytes, the limit is {PAYLOAD_LIMIT}");
        return Err(Failure::new(Exit::Data, text));
    }
    let call = Call { of: of.of(), name, payload, timeout: *timeout, connect_timeout: *connect_timeout };
    if let Some(times) = repeat {
        return self::repeat(context, &call, *times).await;
    }
    let answer = context.hub.invoke(call).await?;
    if context.output.json() {
        context.output.document(&json!({ "status": answer.status, "payload": answer.payload }))?;
    } else {
        context.output.line(&format!("{} {}", context.output.strong("status"), answer.status))?;
        context.output.line(&harmless_json(&format!("{:#}", answer.payload)))?;
    }
    check(&of.of().to_string(), name, &answer)
}

/// Calls it again and again over one connection, and tells how long the answers took. The first failure ends it.
async fn repeat(context: &Context<'_>, call: &Call<'_>, times: u32) -> Result<(), Failure> {
    let mut took = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        let answer = context.hub.invoke(call.clone()).await?;
        took.push(start.elapsed());
        check(&call.of.to_string(), call.name, &answer)?;
    }
    took.sort();
    let at = |part: usize| took.get((took.len() - 1) * part / 100).copied().unwrap_or_default().as_micros();
    let (p50, p99, most) = (at(50), at(99), at(100));
    if context.output.json() {
        context.output.document(&json!({
            "times": times, "p50Microseconds": p50, "p99Microseconds": p99, "mostMicroseconds": most,
        }))
    } else {
        context.output.line(&format!(
            "{times} answers: half within {p50} µs, 99 % within {p99} µs, all within {most} µs"
        ))
    }
}

/// A device's status of 400 and above as a failure; the answer was printed already.
pub(crate) fn check(device: &str, name: &str, answer: &Answer) -> Result<(), Failure> {
    let exit = match answer.status {
        ..400 => return Ok(()),
        400 | 413 | 422 => Exit::Data,
        401 | 403 => Exit::NoPermission,
        404 | 501 => Exit::Unavailable,
        408 | 409 | 429 | 503 | 504 => Exit::TempFail,
        _ => Exit::Software,
    };
    let text = format!("{device} answered {name} with status {}{}", answer.status, reason(&answer.payload));
    Err(Failure::new(exit, text))
}

/// What the answer says about it, where it does.
fn reason(payload: &Value) -> String {
    let text =
        payload.pointer("/error/message").or_else(|| payload.get("error")).or_else(|| payload.get("message"));
    match text.and_then(Value::as_str).or_else(|| payload.as_str()) {
        Some(text) => format!(": {}", text.chars().take(500).collect::<String>()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_status_decides_the_exit_code() {
        let told = |status, payload| check("d", "m", &Answer { status, payload });
        assert_eq!(told(200, json!(null)), Ok(()));
        assert_eq!(told(-1, json!(null)), Ok(()));
        let busy =
            told(409, json!({"error": {"code": "laneTaken", "message": "job j1 is running"}})).unwrap_err();
        assert_eq!(
            (busy.exit, busy.text.as_str()),
            (Exit::TempFail, "d answered m with status 409: job j1 is running")
        );
        assert_eq!(told(400, json!("Invalid")).unwrap_err().text, "d answered m with status 400: Invalid");
        assert_eq!(told(500, json!({})).unwrap_err().exit, Exit::Software);
    }
}
