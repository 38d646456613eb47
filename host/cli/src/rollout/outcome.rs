//! What became of a device: a pure function of its twin and of what the hub's job says of it.
//!
//! The method's answer is only a beginning: what counts is what the device reports afterwards. A status counts when the
//! hub took it after the device was called; both times are the hub's own, and so is the present one, so no clock here
//! matters. For the one trap that is left, the end of a former update that arrives late, see [`Seen`].

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::plan::{Plan, What};

/// What became of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Not over: the phase, where it tells one.
    Waiting(Option<String>),
    /// It runs what was rolled out.
    Completed,
    /// It tried, and runs what it ran before.
    Failed(String),
    /// It ran the new one and went back.
    RolledBack(String),
    /// Somebody cancelled it at the device.
    Cancelled,
    /// It said no.
    Refused(String),
    /// It was called and has not come to an end in time.
    Lost(String),
    /// It was not called: nothing happened to it.
    Unreachable(String),
}

/// What a job says of one device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Row {
    /// When the device was called.
    pub(crate) started: Option<Timestamp>,
    /// When it had answered, or not.
    pub(crate) ended: Option<Timestamp>,
    /// How that went.
    pub(crate) called: Called,
}

/// How a call went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Called {
    /// It is still to come, or under way.
    #[default]
    NotYet,
    /// The device answered with a status; or the twin was changed, which is 200.
    Answered(i64, Option<String>),
    /// The hub could not reach it.
    NotReached(String),
    /// It may have had the call, but the hub has no answer.
    Unanswered(String),
}

impl Row {
    /// Reads a row of `devices.jobs` (iothub.md §6.7).
    pub(crate) fn read(row: &Value) -> Row {
        let time = |name: &str| row.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let response = row.pointer("/outcome/deviceMethodResponse").filter(|response| !response.is_null());
        let status = response.and_then(|response| response.get("status")).and_then(Value::as_i64);
        let why = row.get("error").filter(|error| !error.is_null()).map(reason).unwrap_or_default();
        let called = match (row.get("status").and_then(Value::as_str), status) {
            (_, Some(status)) => {
                Called::Answered(status, response.and_then(|response| response.get("payload")).map(reason))
            }
            (Some("completed"), None) => Called::Answered(200, None),
            // It has a start when the call had gone out; what the device answers afterwards the job does not tell.
            (Some("cancelled" | "canceled"), None) if time("startTimeUtc").is_some() => {
                Called::Unanswered("the job was cancelled during the call".to_owned())
            }
            (Some("cancelled" | "canceled"), None) => {
                Called::NotReached("the job was cancelled before it was called".to_owned())
            }
            (Some("failed"), None) if why.contains("404103") || why.contains("NotOnline") => {
                Called::NotReached(why)
            }
            (Some("failed"), None) => Called::Unanswered(why),
            _ => Called::NotYet,
        };
        Row {
            started: time("startTimeUtc").or_else(|| time("createdDateTimeUtc")),
            ended: time("endTimeUtc"),
            called,
        }
    }
}

/// What a twin tells about the update, and how long it has told so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// Whether a step of this update was seen before.
    pub(crate) moved: bool,
    /// Whether the same has stood for some seconds. An end that no step came before counts only then: it may be that
    /// of the former update, told late, and is followed at once by the first step of this one.
    pub(crate) stood: bool,
}

/// What became of a device. `row` is none while the job has not come to it; `over` says that the job has ended; `now` is
/// the hub's time.
pub(crate) fn of(
    plan: &Plan,
    twin: &Value,
    row: Option<&Row>,
    over: bool,
    seen: Seen,
    now: Timestamp,
) -> Outcome {
    let Some(row) = row else {
        return if over {
            Outcome::Unreachable("the job ended before it was called".to_owned())
        } else {
            Outcome::Waiting(None)
        };
    };
    let told = match &plan.what {
        What::Firmware { .. } => firmware(twin, row, seen),
        What::Plugin { key, entry } => plugin(twin, key, entry),
    };
    match &row.called {
        Called::NotYet => return Outcome::Waiting(None),
        Called::Answered(status, why) if *status >= 400 => {
            let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            return Outcome::Refused(format!("it answered {status}{why}"));
        }
        Called::NotReached(why) if told == Outcome::Waiting(None) => {
            return Outcome::Unreachable(why.clone());
        }
        _ => {}
    }
    let called = row.ended.or(row.started);
    let patience = SignedDuration::from_secs(i64::try_from(plan.timeout).unwrap_or(i64::MAX));
    let late = called.is_some_and(|called| now.duration_since(called) > patience);
    match told {
        Outcome::Waiting(phase) if late => {
            let at = phase.map(|phase| format!(" after {phase}")).unwrap_or_default();
            let text = match &row.called {
                Called::Unanswered(why) => format!("no answer and no end within {} s: {why}", plan.timeout),
                _ => format!("no end within {} s{at}", plan.timeout),
            };
            let disconnected = twin.get("connectionState").and_then(Value::as_str) == Some("Disconnected");
            match plan.what {
                // Desired properties wait for the device: one that was never there has not had them.
                What::Plugin { .. } if disconnected => {
                    Outcome::Unreachable("it was not connected".to_owned())
                }
                _ => Outcome::Lost(text),
            }
        }
        told => told,
    }
}

/// The moment at which the hub took what the twin says of the firmware.
pub(crate) fn mark(twin: &Value) -> Option<&str> {
    twin.pointer("/properties/reported/$metadata/firmwareStatus/$lastUpdated").and_then(Value::as_str)
}

/// Whether the twin's status is one with which updates end.
pub(crate) fn tells_an_end(twin: &Value) -> bool {
    let status = twin.pointer("/properties/reported/firmwareStatus").and_then(Value::as_str);
    matches!(status, Some("completed" | "failed" | "rolledBack" | "cancelled"))
}

fn firmware(twin: &Value, row: &Row, seen: Seen) -> Outcome {
    let reported = twin.pointer("/properties/reported").unwrap_or(&Value::Null);
    let set: Option<Timestamp> = mark(twin).and_then(|text| text.parse().ok());
    let after = set.zip(row.started).is_some_and(|(set, started)| set >= started);
    let Some(status) = reported.get("firmwareStatus").and_then(Value::as_str).filter(|_| after) else {
        return Outcome::Waiting(None);
    };
    let why = || {
        let error =
            reported.get("firmwareError").or_else(|| reported.pointer("/iothubDM/firmwareUpdate/error"));
        error.filter(|error| !error.is_null()).map(reason).unwrap_or_default()
    };
    let ended = match status {
        "completed" => Outcome::Completed,
        "failed" => Outcome::Failed(why()),
        "rolledBack" => Outcome::RolledBack(why()),
        "cancelled" => Outcome::Cancelled,
        phase => return Outcome::Waiting(Some(phase.to_owned())),
    };
    if seen.moved || seen.stood { ended } else { Outcome::Waiting(Some(status.to_owned())) }
}

/// The acknowledgement of `hotshoe.plugins`: it is this entry's when its `value` is.
fn plugin(twin: &Value, key: &str, entry: &Value) -> Outcome {
    let place = |section: &str| {
        let section = twin.pointer(&format!("/properties/{section}"))?;
        Some((section.get("hotshoe")?.get("plugins")?.get(key)?, section))
    };
    let Some((told, _)) = place("reported") else { return Outcome::Waiting(None) };
    if told.get("value") != Some(entry) {
        return Outcome::Waiting(None);
    }
    let text = told.get("ad").map(reason).unwrap_or_default();
    // What was refused of an older document is tried again for the present one.
    let version = place("desired").and_then(|(_, section)| section.get("$version")?.as_u64());
    let current = told.get("av").and_then(Value::as_u64) >= version;
    match told.get("ac").and_then(Value::as_i64) {
        Some(200) => match told.get("state").and_then(Value::as_str) {
            // It is live, and the version before still waits to come back.
            Some("probation") => Outcome::Waiting(Some("on probation".to_owned())),
            Some("quarantined") => {
                let trouble = told.get("trouble").map(reason).filter(|trouble| !trouble.is_empty());
                Outcome::Failed(trouble.unwrap_or_else(|| "it is in quarantine".to_owned()))
            }
            _ => Outcome::Completed,
        },
        Some(202) => Outcome::Waiting(Some(if text.is_empty() { "under way".to_owned() } else { text })),
        Some(409) if current => Outcome::RolledBack(text),
        Some(400..) if current => Outcome::Failed(text),
        _ => Outcome::Waiting(None),
    }
}

/// What a text, or an object with a message, says; 300 characters of it.
fn reason(told: &Value) -> String {
    let text = match told {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => {
            let message = ["/error/message", "/message", "/description"]
                .iter()
                .find_map(|place| other.pointer(place)?.as_str());
            let code = ["/code", "/errorCode"].iter().find_map(|place| other.pointer(place));
            let code = code.map(|code| code.as_str().map_or_else(|| code.to_string(), str::to_owned));
            match (code, message) {
                (Some(code), Some(message)) => format!("{code} {message}"),
                (None, Some(message)) => message.to_owned(),
                _ => other.to_string(),
            }
        }
    };
    text.chars().take(300).collect()
}

impl Outcome {
    /// Whether nothing more is to come.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self, Outcome::Waiting(_))
    }

    /// Its name in reports.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Outcome::Waiting(_) => "waiting",
            Outcome::Completed => "completed",
            Outcome::Failed(_) => "failed",
            Outcome::RolledBack(_) => "rolledBack",
            Outcome::Cancelled => "cancelled",
            Outcome::Refused(_) => "refused",
            Outcome::Lost(_) => "lost",
            Outcome::Unreachable(_) => "unreachable",
        }
    }

    /// Why, or how far.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Failed(why)
            | Outcome::RolledBack(why)
            | Outcome::Refused(why)
            | Outcome::Lost(why)
            | Outcome::Unreachable(why)
            | Outcome::Waiting(Some(why)) => Some(why).filter(|why| !why.is_empty()).map(String::as_str),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "outcome/tests.rs"]
mod tests;
