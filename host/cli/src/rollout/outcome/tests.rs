//! Twins and rows as hubs give them, and what they mean.

use serde_json::json;

use super::*;
use crate::rollout::plan::waves;

const NOW: &str = "2026-11-22T01:00:00Z";

fn plan(what: What) -> Plan {
    Plan {
        what,
        condition: "*".into(),
        waves: waves("100%").unwrap(),
        abort_over: "5%".parse().unwrap(),
        soak: 0,
        timeout: 1800,
        count_unreachable: false,
    }
}

fn firmware() -> Plan {
    plan(What::Firmware { payload: json!({}), response_timeout: 30, connect_timeout: 0 })
}

/// A twin whose status the hub took at a minute past midnight.
fn twin(status: &str, minute: u32) -> Value {
    json!({"connectionState": "Connected", "properties": {"desired": {"$version": 4}, "reported": {"firmwareStatus": status,
        "$metadata": {"firmwareStatus": {"$lastUpdated": format!("2026-11-22T00:{minute:02}:00.1234567Z")}}}}})
}

/// A row of a device that was called at a minute past midnight and answered at once.
fn answered(minute: u32, status: i64) -> Row {
    let time = format!("2026-11-22T00:{minute:02}:00Z");
    Row::read(&json!({"status": "completed", "startTimeUtc": time, "endTimeUtc": time,
        "outcome": {"deviceMethodResponse": {"status": status, "payload": {"error": {"message": "busy"}}}}}))
}

fn failed(error: Value) -> Row {
    Row::read(
        &json!({"status": "failed", "startTimeUtc": "2026-11-22T00:40:00Z", "endTimeUtc": "2026-11-22T00:40:30Z", "error": error}),
    )
}

fn seen(moved: bool, stood: bool) -> Seen {
    Seen { moved, stood }
}

fn told(plan: &Plan, twin: &Value, row: Option<&Row>, seen: Seen) -> Outcome {
    of(plan, twin, row, false, seen, NOW.parse().unwrap())
}

fn waiting(phase: &str) -> Outcome {
    Outcome::Waiting(Some(phase.to_owned()))
}

#[test]
fn what_was_reported_before_the_call_says_nothing() {
    let row = answered(40, 200);
    for word in ["completed", "failed", "rolledBack", "applying"] {
        assert_eq!(
            told(&firmware(), &twin(word, 39), Some(&row), seen(true, true)),
            Outcome::Waiting(None),
            "{word}"
        );
    }
    assert_eq!(
        told(&firmware(), &twin("downloading", 41), Some(&row), seen(false, false)),
        waiting("downloading")
    );
    assert_eq!(told(&firmware(), &twin("completed", 45), Some(&row), seen(true, false)), Outcome::Completed);
}

#[test]
fn an_end_without_a_step_before_it_must_have_stood() {
    let row = answered(40, 200);
    assert_eq!(
        told(&firmware(), &twin("completed", 41), Some(&row), seen(false, false)),
        waiting("completed")
    );
    assert_eq!(told(&firmware(), &twin("completed", 41), Some(&row), seen(false, true)), Outcome::Completed);
}

#[test]
fn a_device_that_says_no_was_called_and_has_failed() {
    let refused = Outcome::Refused("it answered 409: busy".to_owned());
    assert_eq!(told(&firmware(), &twin("completed", 1), Some(&answered(40, 409)), seen(true, true)), refused);
}

#[test]
fn unreachable_is_who_was_not_called() {
    let offline =
        failed(json!({"code": "DeviceNotOnline", "description": "Timed out waiting for device to connect."}));
    let outcome = told(&firmware(), &twin("completed", 1), Some(&offline), seen(false, false));
    assert_eq!(
        outcome,
        Outcome::Unreachable("DeviceNotOnline Timed out waiting for device to connect.".to_owned())
    );
    // Unless its twin moves all the same.
    assert_eq!(
        told(&firmware(), &twin("applying", 41), Some(&offline), seen(false, false)),
        waiting("applying")
    );
    let cancelled = Row::read(&json!({"status": "cancelled"}));
    assert!(matches!(
        told(&firmware(), &twin("x", 1), Some(&cancelled), seen(false, false)),
        Outcome::Unreachable(_)
    ));
    let called = json!({"status": "cancelled", "startTimeUtc": "2026-11-22T00:40:00Z"});
    let told_of = |twin: &Value| told(&firmware(), twin, Some(&Row::read(&called)), seen(true, false));
    assert_eq!(told_of(&twin("x", 1)), Outcome::Waiting(None), "the call had gone out");
    assert_eq!(told_of(&twin("applying", 41)), waiting("applying"));
    let mut early = called.clone();
    early["startTimeUtc"] = json!("2026-11-22T00:10:00Z");
    let lost = "no answer and no end within 1800 s: the job was cancelled during the call";
    assert_eq!(
        told(&firmware(), &twin("x", 1), Some(&Row::read(&early)), seen(false, false)),
        Outcome::Lost(lost.to_owned())
    );
    let never = of(&firmware(), &twin("x", 1), None, true, seen(false, false), NOW.parse().unwrap());
    assert!(matches!(never, Outcome::Unreachable(_)));
    assert_eq!(told(&firmware(), &twin("x", 1), None, seen(false, false)), Outcome::Waiting(None));
}

#[test]
fn who_may_have_had_the_call_is_waited_for_and_then_lost() {
    let unanswered = failed(json!({"code": "GatewayTimeout"}));
    assert_eq!(
        told(&firmware(), &twin("completed", 1), Some(&unanswered), seen(false, false)),
        Outcome::Waiting(None)
    );
    let early = Row::read(
        &json!({"status": "failed", "startTimeUtc": "2026-11-22T00:10:00Z", "error": {"code": 504101}}),
    );
    assert!(matches!(
        told(&firmware(), &twin("completed", 1), Some(&early), seen(false, false)),
        Outcome::Lost(_)
    ));
    let stuck = told(&firmware(), &twin("applying", 12), Some(&answered(10, 200)), seen(true, true));
    assert_eq!(stuck, Outcome::Lost("no end within 1800 s after applying".to_owned()));
}

#[test]
fn failures_have_their_reason() {
    let mut twin = twin("rolledBack", 41);
    twin["properties"]["reported"]["firmwareError"] =
        json!({"code": "trial", "message": "the image did not come up"});
    let outcome = told(&firmware(), &twin, Some(&answered(40, 200)), seen(true, false));
    assert_eq!(outcome, Outcome::RolledBack("trial the image did not come up".to_owned()));
    assert_eq!((outcome.word(), outcome.is_over()), ("rolledBack", true));
}

#[test]
fn a_plugin_is_live_when_its_acknowledgement_says_so() {
    let entry = json!({"version": "1.2.0", "repository": "main"});
    let plan = plan(What::Plugin { key: "acme/pump".into(), entry: entry.clone() });
    let twin = |value: &Value, code: i64, version: u64| {
        json!({"connectionState": "Connected", "properties": {"desired": {"$version": 4, "hotshoe": {"plugins": {"acme/pump": value}}},
            "reported": {"hotshoe": {"plugins": {"acme/pump": {"value": value, "ac": code, "av": version, "ad": "why"}}}}}})
    };
    let row = answered(40, 200);
    let told = |twin: &Value| told(&plan, twin, Some(&row), seen(false, false));
    assert_eq!(told(&twin(&entry, 200, 4)), Outcome::Completed);
    let state = |state: &str| {
        let mut twin = twin(&entry, 200, 4);
        twin["properties"]["reported"]["hotshoe"]["plugins"]["acme/pump"]["state"] = json!(state);
        told(&twin)
    };
    assert_eq!(state("settled"), Outcome::Completed);
    assert_eq!(state("probation"), waiting("on probation"), "it may still go back");
    assert_eq!(state("quarantined"), Outcome::Failed("it is in quarantine".into()));
    assert_eq!(told(&twin(&entry, 202, 4)), waiting("why"));
    assert_eq!(told(&twin(&entry, 403, 4)), Outcome::Failed("why".into()));
    assert_eq!(told(&twin(&entry, 409, 4)), Outcome::RolledBack("why".into()));
    assert_eq!(told(&twin(&entry, 403, 3)), Outcome::Waiting(None), "of a former document");
    assert_eq!(told(&twin(&json!({"version": "1.1.0"}), 200, 4)), Outcome::Waiting(None), "of another entry");
    assert_eq!(told(&json!({})), Outcome::Waiting(None));
    let early = answered(10, 200);
    let away = json!({"connectionState": "Disconnected"});
    assert!(matches!(
        super::tests::told(&plan, &away, Some(&early), seen(false, false)),
        Outcome::Unreachable(_)
    ));
}

#[test]
fn any_twin_and_any_row_is_safe() {
    for value in [json!(null), json!([]), json!({"properties": 7, "outcome": 1, "error": [], "status": {}})] {
        assert_eq!(
            told(&firmware(), &value, Some(&Row::read(&value)), seen(true, true)),
            Outcome::Waiting(None)
        );
    }
}
