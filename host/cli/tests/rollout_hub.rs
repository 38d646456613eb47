//! What a rollout asks of a hub, and what it makes of answers that come at an awkward moment: a hub whose answers are
//! written down beforehand.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::{Hub, Scripted, Seen};

const RECORD: &str = "/configurations/hotshoe-rollout-spring";
const JOB: &str = "/jobs/v2/hotshoe-spring-7bcdfg-wave-1";

/// The configuration of a rollout of one wave for ten devices, begun at midnight.
fn record(state: &str, word: Option<&str>) -> Value {
    with(json!({"state": state, "waves": [{"devices": 10, "started": "2020-01-01T00:00:00Z"}]}), word)
}

fn with(progress: Value, word: Option<&str>) -> Value {
    let plan = json!({
        "what": {"kind": "firmware", "payload": {"fwPackageUri": "https://images.example.com/2.img"},
            "responseTimeout": 30, "connectTimeout": 0},
        "condition": "*", "waves": ["10%", "100%"], "abortOver": "50%", "soak": 600, "timeout": 3600,
        "countUnreachable": false,
    });
    let mut labels =
        json!({"hotshoe": "rollout", "plan": plan.to_string(), "progress": progress.to_string()});
    labels.as_object_mut().unwrap().extend(word.map(|word| ("word".to_owned(), json!(word))));
    json!({"id": "hotshoe-rollout-spring", "etag": "MQ==", "labels": labels})
}

/// An answer at ten seconds past that midnight: the hub's clock has nothing to do with that of who asks.
fn answer(status: u16, body: &Value) -> Scripted {
    (status, vec![("date", "Wed, 01 Jan 2020 00:00:10 GMT")], body.to_string())
}

fn ok(body: Value) -> Scripted {
    answer(200, &body)
}

fn refused(status: u16) -> Scripted {
    answer(status, &json!({"Message": "ErrorCode:Refused;because"}))
}

/// The requests to hand a job over or to call it off.
fn acts(hub: &Hub) -> Vec<Seen> {
    hub.seen().into_iter().filter(|seen| seen.path.starts_with("/jobs") && seen.verb != "GET").collect()
}

async fn abort(hub: &Hub) -> support::Ran {
    hub.script(&format!("GET {RECORD}"), [ok(record("running", Some("7bcdfg")))]);
    hub.script(&format!("PUT {RECORD}"), [ok(record("aborted", Some("7bcdfg")))]);
    hub.run(&["rollout", "abort", "spring"]).await
}

#[tokio::test]
async fn an_abort_takes_the_id_of_a_job_that_is_still_to_come() {
    let hub = Hub::start().await;
    hub.script(&format!("PUT {JOB}"), [ok(json!({"status": "queued"}))]);
    hub.script(&format!("POST {JOB}/cancel"), [refused(404), ok(json!({}))]);
    hub.script(&format!("GET {JOB}"), [refused(404)]);
    let ran = abort(&hub).await;
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "spring is aborted\n"), "{ran:?}");
    let acts = acts(&hub);
    let verbs: Vec<&str> = acts.iter().map(|seen| seen.verb.as_str()).collect();
    assert_eq!(verbs, ["POST", "PUT", "POST"]);
    assert_eq!(
        acts[1].json()["queryCondition"],
        "tags.hotshoe.rollout.spring = 0",
        "waves are counted from 1"
    );
}

#[tokio::test]
async fn an_abort_calls_off_a_job_that_came_in_between() {
    let hub = Hub::start().await;
    // It is not there yet, then somebody else has handed it over.
    hub.script(&format!("POST {JOB}/cancel"), [refused(404), ok(json!({"status": "cancelled"}))]);
    hub.script(&format!("GET {JOB}"), [refused(404), ok(json!({"status": "running"}))]);
    hub.script(&format!("PUT {JOB}"), [refused(409)]);
    let ran = abort(&hub).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(
        acts(&hub).iter().filter(|seen| seen.verb == "POST").count(),
        2,
        "it was cancelled after that"
    );
}

#[tokio::test]
async fn an_abort_says_that_the_hub_did_not_cancel_the_job() {
    let hub = Hub::start().await;
    for (status, exit, hint) in [
        (401, 77, "its job may still call devices: abort it again, under a policy with ServiceConnect"),
        (400, 65, "its job may still call devices: abort it again\n"),
    ] {
        hub.script(&format!("POST {JOB}/cancel"), [refused(status)]);
        hub.script(&format!("GET {JOB}"), [ok(json!({"status": "running"}))]);
        let ran = abort(&hub).await;
        assert_eq!((ran.exit, ran.stdout.as_str()), (exit, ""), "{ran:?}");
        assert!(ran.stderr.contains(hint), "{ran:?}");
    }
    // What has ended cannot be cancelled, which is as well.
    hub.script(&format!("GET {JOB}"), [ok(json!({"status": "completed"}))]);
    let ran = abort(&hub).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
}

#[tokio::test]
async fn who_follows_hands_a_missing_job_over_until_somebody_aborts() {
    let hub = Hub::start().await;
    let [running, aborted] = ["running", "aborted"].map(|state| ok(record(state, Some("7bcdfg"))));
    hub.script(&format!("GET {RECORD}"), [running.clone(), running, aborted]);
    hub.script(&format!("GET {JOB}"), [refused(404), ok(json!({"status": "running"}))]);
    hub.script(&format!("PUT {JOB}"), [ok(json!({"status": "queued"}))]);
    hub.script(&format!("POST {JOB}/cancel"), [ok(json!({"status": "cancelled"}))]);
    hub.script("POST /devices/query", [ok(json!([]))]);
    let ran = follow(&hub).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    let acts = acts(&hub);
    let verbs: Vec<&str> = acts.iter().map(|seen| seen.verb.as_str()).collect();
    assert_eq!(verbs, ["PUT", "POST"], "handed over, then called off");
    let job = acts[0].json();
    assert_eq!(job["queryCondition"], "tags.hotshoe.rollout.spring = 1");
    assert_eq!(job.get("startTime"), None, "at once, whatever this machine's clock says");
}

#[tokio::test]
async fn who_follows_hands_nothing_over_once_it_is_aborted() {
    let hub = Hub::start().await;
    // Somebody began the wave and died; somebody aborted; this one slept meanwhile.
    let [running, aborted] = ["running", "aborted"].map(|state| ok(record(state, Some("7bcdfg"))));
    hub.script(&format!("GET {RECORD}"), [running, aborted]);
    hub.script(&format!("GET {JOB}"), [refused(404)]);
    hub.script(&format!("POST {JOB}/cancel"), [refused(404), ok(json!({"status": "cancelled"}))]);
    hub.script(&format!("PUT {JOB}"), [ok(json!({"status": "queued"}))]);
    hub.script("POST /devices/query", [ok(json!([]))]);
    let ran = follow(&hub).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    let made: Vec<Value> = acts(&hub).iter().filter(|seen| seen.verb == "PUT").map(Seen::json).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["queryCondition"], "tags.hotshoe.rollout.spring = 0", "for nobody");
}

#[tokio::test]
async fn it_soaks_by_the_hubs_time_and_goes_on_without_a_word() {
    let hub = Hub::start().await;
    let begun = json!({"devices": 10, "started": "2020-01-01T00:00:00Z", "ended": "2020-01-01T00:00:05Z", "accepted": true});
    let [running, aborted] = ["running", "aborted"]
        .map(|state| ok(with(json!({"state": state, "waves": [begun, {"devices": 90}]}), None)));
    hub.script(&format!("GET {RECORD}"), [running.clone(), running, aborted]);
    hub.script("GET /jobs/v2/hotshoe-spring-wave-1", [ok(json!({"status": "completed"}))]);
    hub.script("POST /devices/query", [ok(json!([]))]);
    let ran = follow(&hub).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    assert!(ran.stdout.contains("wave 1 soaks until 2020-01-01T00:10:05Z"), "{ran:?}");
    assert!(
        hub.seen().iter().all(|seen| seen.verb != "PUT"),
        "no other wave begins: by the hub it is 00:00:10"
    );
}

#[tokio::test]
async fn another_rollout_of_the_same_name_is_not_followed() {
    let hub = Hub::start().await;
    let [one, other] = ["7bcdfg", "8bcdfg"].map(|word| ok(record("running", Some(word))));
    hub.script(&format!("GET {RECORD}"), [one, other]);
    let ran = follow(&hub).await;
    assert_eq!(ran.exit, 66, "{ran:?}");
    assert!(ran.stderr.contains("spring was deleted, and another of this name was begun"), "{ran:?}");
    assert!(acts(&hub).is_empty());
}

async fn follow(hub: &Hub) -> support::Ran {
    let report = hub.file("").to_str().unwrap().to_owned();
    hub.run(&["rollout", "resume", "spring", "--interval", "1s", "--report", &report]).await
}
