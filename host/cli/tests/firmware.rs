//! `hotshoe firmware update` against twins that come one after the other.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Stdio;

use serde_json::{Value, json};
use support::{Hub, Scripted, ok};
use tokio::io::{AsyncBufReadExt as _, BufReader};

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

#[tokio::test]
async fn a_reader_that_goes_away_changes_no_result() {
    let hub = hub([
        twin("completed", 1, json!({})),
        twin("downloading", 2, json!({})),
        twin("failed", 3, json!({})),
    ])
    .await;
    let mut update = hub
        .command(&["firmware", "update", "d", URI])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(update.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("d answered 200"));
    drop(lines);
    let ended = update.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(70));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("the update of d failed"));
}

#[tokio::test]
async fn what_only_shows_ends_well_with_its_reader() {
    let hub = hub([twin("a", 1, json!({})), twin("b", 2, json!({}))]).await;
    hub.script("POST /devices/query", [ok(json!([{"deviceId": "d"}]))]);
    hub.script("GET /devices", [ok(json!([{"deviceId": "d"}]))]);
    for shows in
        [&["device", "list"][..], &["query", "SELECT * FROM devices", "--jsonl"], &["twin", "watch", "d"]]
    {
        let mut shown = hub.command(shows).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(shown.stdout.take());
        let ended = shown.wait_with_output().await.unwrap();
        assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]), "{shows:?}");
    }
}

#[tokio::test]
async fn no_device_paints_on_the_terminal() {
    let hub = hub([]).await;
    hub.script("POST /twins/d/methods", [ok(json!({"status": 200, "payload": {"note": "\u{9b}2J\u{7f}"}}))]);
    let until = "reported.firmwareStatus=\"completed\"";
    for shows in [
        &["method", "invoke", "d", "m"][..],
        &["method", "invoke", "d", "m", "--json"],
        &["firmware", "update", "d", URI],
        &["twin", "watch", "d", "--until", until],
    ] {
        hub.script(
            "GET /twins/d",
            [twin("a", 1, json!({})), twin("completed", 2, json!({"x\u{9b}1m": "\u{9b}2J"}))],
        );
        let ran = hub.run(shows).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
        assert!(ran.stdout.contains("2J"), "{ran:?}");
        assert!(ran.stdout.chars().all(|one| one == '\n' || !one.is_control()), "{ran:?}");
    }
}
