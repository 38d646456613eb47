//! `hotshoe firmware update` against twins that come one after the other.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{Hub, Scripted, ok};

const URI: &str = "https://images.example.com/a.img";

/// A twin whose status was set at a time.
fn twin(status: &str, set: u32, more: Value) -> Scripted {
    let mut reported = json!({"firmwareStatus": status, "$version": set,
        "$metadata": {"firmwareStatus": {"$lastUpdated": format!("2026-11-22T00:00:{set:02}Z")}}});
    reported.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ok(json!({"properties": {"reported": reported}}))
}

fn job(phase: &str, done: u64) -> Value {
    json!({"hotshoe": {"jobs": {"j1": {"plugin": "hotshoe.firmware-update", "phase": phase, "done": done, "total": 100}}}})
}

async fn hub(twins: impl IntoIterator<Item = Scripted>) -> Hub {
    let hub = Hub::start().await;
    hub.script(
        "POST /twins/d/methods",
        [ok(json!({"status": 200, "payload": {"Response": "Firmware update started"}}))],
    );
    hub.script("GET /twins/d", twins);
    hub
}

#[tokio::test]
async fn an_update_is_followed_from_a_former_one_to_its_own_end() {
    let away = (500, vec![], "{\"Message\":\"ErrorCode:ServerError;away\"}".to_owned());
    let hub = hub([
        twin("completed", 1, json!({})),
        twin("completed", 1, json!({})),
        twin("standBy", 2, json!({})),
        twin("downloading", 3, job("downloading", 10)),
        away,
        twin("applying", 4, job("applying", 50)),
        twin("completed", 5, json!({"lastFirmwareUpdate": "now"})),
    ])
    .await;
    let ran = hub.run(&["firmware", "update", "d", URI, "--size", "100", "--version", "2.1"]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "d answered 200: {\"Response\":\"Firmware update started\"}",
            "standBy",
            "downloading",
            "applying",
            "d completed"
        ]
    );
    let seen = hub.seen();
    assert_eq!(
        (seen[0].verb.as_str(), seen[1].verb.as_str()),
        ("GET", "POST"),
        "the twin is read before the call"
    );
    assert_eq!(seen[1].json()["methodName"], "firmwareUpdate");
    assert_eq!(seen[1].json()["payload"], json!({"fwPackageUri": URI, "size": 100, "version": "2.1"}));
}

#[tokio::test]
async fn a_program_gets_one_document() {
    let hub =
        hub([twin("standBy", 1, json!({})), twin("applying", 2, json!({})), twin("completed", 3, json!({}))])
            .await;
    let ran = hub.run(&["firmware", "update", "d", URI, "--json"]).await;
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    let told = ran.json();
    assert_eq!((&told["outcome"], &told["response"]["status"]), (&json!("completed"), &json!(200)));
    assert_eq!(told["reported"]["firmwareStatus"], "completed");
}

#[tokio::test]
async fn failures_and_roll_backs_have_codes_of_their_own() {
    let failed = json!({"firmwareError": "the digest does not match"});
    let hub =
        hub([twin("completed", 1, json!({})), twin("downloading", 2, json!({})), twin("failed", 3, failed)])
            .await;
    let ran = hub.run(&["firmware", "update", "d", URI]).await;
    assert_eq!(ran.exit, 70);
    assert!(ran.stderr.contains("the update of d failed: the digest does not match"), "{ran:?}");
    hub.script(
        "GET /twins/d",
        [twin("x", 1, json!({})), twin("applying", 2, json!({})), twin("rolledBack", 3, json!({}))],
    );
    let ran = hub.run(&["firmware", "update", "d", URI, "--json"]).await;
    assert_eq!((ran.exit, &ran.json()["outcome"]), (71, &json!("rolledBack")));
}

#[tokio::test]
async fn an_update_that_does_not_end_in_time_goes_on_without_us() {
    let hub = hub([twin("completed", 1, json!({})), twin("downloading", 2, json!({}))]).await;
    let ran = hub.run(&["firmware", "update", "d", URI, "--timeout", "1s"]).await;
    assert_eq!(ran.exit, 75);
    assert!(ran.stderr.contains("has not ended its update within 1 s; it goes on"), "{ran:?}");
}

#[tokio::test]
async fn a_device_that_refuses_is_not_followed() {
    let hub = hub([twin("completed", 1, json!({}))]).await;
    let busy = json!({"error": {"code": "laneTaken", "message": "job j1 is running in the lane `firmware`"}});
    hub.script("POST /twins/d/methods", [ok(json!({"status": 409, "payload": busy}))]);
    let ran = hub.run(&["firmware", "update", "d", URI]).await;
    assert_eq!(ran.exit, 75);
    assert!(ran.stderr.contains("status 409: job j1 is running in the lane `firmware`"), "{ran:?}");
    assert_eq!(hub.seen().len(), 2);
}
