//! Rollouts over a fleet of simulated devices on a real local hub: each device is a session of its own on MQTT, and the
//! hub's jobs call them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};
use support::{
    fleet::{Fleet, told},
    local::Place,
};

const DEVICES: usize = 60;

/// The devices of a report with one of these outcomes.
fn devices(report: &Value, outcomes: &[&str]) -> BTreeSet<String> {
    let all = report["devices"].as_array().unwrap().iter();
    let these = all.filter(|device| outcomes.contains(&device["outcome"].as_str().unwrap()));
    these.map(|device| device["device"].as_str().unwrap().to_owned()).collect()
}

fn report(directory: &Path, name: &str) -> (Value, String) {
    let read =
        |kind: &str| std::fs::read_to_string(directory.join(format!("rollout-{name}.{kind}"))).unwrap();
    (serde_json::from_str(&read("json")).unwrap(), read("md"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_calls_every_device_once_and_names_who_failed() {
    let place = Place::new().await;
    let fleet = Fleet::start(&place, DEVICES, "failed=10%,rolled-back=8%").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let follow = ["--interval", "1s", "--report", path, "--json"];
    let firmware = ["firmware", "rollout", "--name", "spring", "--query", "tags.simulated = true"];
    let image = ["--uri", "https://images.example.com/2.0.0.img", "--version", "2.0.0"];
    let pace = ["--waves", "10%,50%,100%", "--abort-over", "50%", "--soak", "1s"];
    let begin = [&firmware[..], &image, &pace].concat();

    let ran = place.run(&[&begin[..], &["--dry-run"]].concat()).await;
    assert!(ran.stdout.contains("60 of 60 devices; nothing was done"), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().skip(1).collect();
    assert_eq!(
        lines,
        ["WAVE  DEVICES  MAY FAIL", "1     6        3", "2     24       12", "3     30       15"]
    );
    let ran = place.run(&["rollout", "list", "--json"]).await;
    assert_eq!(ran.json(), json!([]), "nothing was done");

    // Killed while the tags are written, with a wave under way and between two; whoever goes on says it either way.
    let resume = ["rollout", "resume", "spring"];
    for (arguments, event, wave) in [
        (&begin[..], "tagging", None),
        (&begin[..], "began", Some(1)),
        (&resume[..], "soaking", Some(1)),
        (&resume[..], "began", Some(2)),
    ] {
        let (mut child, mut lines) = place.follow(&[arguments, &follow].concat());
        told(&mut lines, |line| line["event"] == event && line["wave"].as_u64() == wave).await;
        child.kill().await.unwrap();
    }
    let ran = place.run(&["rollout", "list"]).await;
    assert!(ran.stdout.contains("spring   running  2 of 3  60"), "{ran:?}");
    let ran = place.run(&[&resume[..], &follow].concat()).await;
    assert_eq!(ran.exit, 0, "{ran:?}");

    let (spring, page) = report(directory.path(), "spring");
    assert_eq!(
        (&spring["state"], spring["devices"].as_array().unwrap().len()),
        (&json!("completed"), DEVICES)
    );
    let failed = devices(&spring, &["failed", "rolledBack"]);
    assert!(failed.len() >= 3, "the script has some fail: {failed:?}");
    assert_eq!(devices(&spring, &["completed"]).len() + failed.len(), DEVICES, "{page}");
    for device in (1..=DEVICES).map(|number| format!("sim-{number:04}")) {
        let twin = place.hub.twin(&device).await.unwrap();
        let well = twin["reported"]["firmwareStatus"] == "completed";
        assert_eq!(failed.contains(&device), !well, "{device}: {twin}");
        assert_eq!(page.contains(&format!("| {device} |")), !well, "{page}");
    }

    // Once more, it does nothing and says the same.
    let ran = place.run(&[&begin[..], &follow].concat()).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(report(directory.path(), "spring").0["waves"], spring["waves"]);
    let ran = place.run(&["rollout", "show", "spring", "--json"]).await;
    assert_eq!(ran.json()["devices"], spring["devices"]);

    // The same fleet, the same fates: a plugin by the desired properties.
    let plugin = ["plugin", "rollout", "acme.pump@1.1.0", "--name", "pump", "--query", "*"];
    let pace = ["--waves", "20%,100%", "--abort-over", "50%", "--soak", "0s"];
    let ran = place.run(&[&plugin[..], &pace, &follow].concat()).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let (pump, page) = report(directory.path(), "pump");
    assert_eq!(devices(&pump, &["failed", "rolledBack"]), failed, "{page}");
    assert_eq!(devices(&pump, &["completed"]).len() + failed.len(), DEVICES, "{page}");

    let ran = place.run(&["rollout", "delete", "spring"]).await;
    assert_eq!(ran.stdout, "deleted spring\n", "{ran:?}");
    let tagged = "SELECT deviceId FROM devices WHERE tags.hotshoe.rollout.spring >= 1";
    assert_eq!(place.run(&["query", tagged, "--json"]).await.json(), json!([]));
    assert_eq!(place.run(&["rollout", "show", "spring"]).await.exit, 66);

    // Each device has come to an end, so each was called; so many calls in all means each once.
    let summary = fleet.end().await;
    assert_eq!(summary["calls"], DEVICES, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_image_stops_in_the_first_wave() {
    let place = Place::new().await;
    let fleet = Fleet::start(&place, DEVICES, "failed=90%").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let follow = ["--interval", "1s", "--report", path];
    let firmware = ["firmware", "rollout", "--name", "bad", "--query", "SELECT * FROM devices"];
    let image = ["--uri", "https://images.example.com/bad.img", "--waves", "10%,100%", "--abort-over", "20%"];
    let ran = place.run(&[&firmware[..], &image, &["--soak", "0s"], &follow].concat()).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    assert!(ran.stderr.contains("of the 6 devices of wave 1 failed, more than 20%"), "{ran:?}");
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'), "no colours in a pipe: {ran:?}");

    let (bad, page) = report(directory.path(), "bad");
    assert_eq!((&bad["state"], bad["devices"].as_array().unwrap().len()), (&json!("aborted"), 6));
    assert_eq!(bad["waves"][1]["started"], Value::Null, "{page}");
    for device in devices(&bad, &["failed"]) {
        assert!(ran.stdout.contains(&format!("  {device} failed")), "{ran:?}");
    }
    // For good: neither of the two ways on goes on.
    let ran = place.run(&["rollout", "resume", "bad"]).await;
    assert_eq!(ran.exit, 65, "{ran:?}");
    let ran = place.run(&[&firmware[..], &image, &["--soak", "0s"], &follow].concat()).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    let ran = place.run(&[&firmware[..], &image, &["--soak", "1s"], &follow].concat()).await;
    assert_eq!(ran.exit, 64, "{ran:?}");
    assert!(ran.stderr.contains("there is a rollout bad already, and it differs in --soak"), "{ran:?}");
    let summary = fleet.end().await;
    assert!(summary["calls"].as_u64() <= Some(6), "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_the_same_command_begins_anew() {
    let place = Place::new().await;
    let fleet = Fleet::start(&place, 4, "").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let firmware = ["firmware", "rollout", "--query", "*", "--uri", "https://images.example.com/2.0.0.img"];
    let follow = ["--waves", "100%", "--interval", "1s", "--report", path];
    for calls in [4, 8] {
        let ran = place.run(&[&firmware[..], &follow].concat()).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
        assert!(ran.stdout.contains("wave 1 of 1: 4 devices are called"), "{ran:?}");
        let listed = place.run(&["rollout", "list", "--json"]).await.json();
        let name = listed[0]["rollout"].as_str().unwrap().to_owned();
        let rows = "SELECT * FROM devices.jobs WHERE devices.jobs.jobType = 'scheduleDeviceMethod'";
        let called = place.run(&["query", rows, "--json"]).await.json();
        assert_eq!(called.as_array().unwrap().len(), calls, "{name}: {called}");
        let ran = place.run(&["rollout", "delete", &name]).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
    }
    let summary = fleet.end().await;
    assert_eq!(summary["calls"], 8, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_before_its_job_was_at_the_hub_it_calls_nobody() {
    let place = Place::new().await;
    let fleet = Fleet::start(&place, 4, "").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (query, uri) = ("tags.simulated = true", "https://images.example.com/2.0.0.img");
    let firmware = ["firmware", "rollout", "--name", "spring", "--query", query, "--uri", uri];
    let follow = ["--waves", "100%", "--interval", "1s", "--report", path];

    // As it stands when whoever began the wave was killed before its job was handed over.
    let plan = json!({
        "what": {"kind": "firmware", "payload": {"fwPackageUri": uri}, "responseTimeout": 30, "connectTimeout": 0},
        "condition": query, "waves": ["100%"], "abortOver": "5%", "soak": 600, "timeout": 3600, "countUnreachable": false,
    });
    let now = jiff::Timestamp::now();
    let progress = json!({"state": "running", "waves": [{"devices": 4, "started": now}]});
    let labels = [format!("plan={plan}"), format!("progress={progress}")];
    let create =
        ["configuration", "create", "hotshoe-rollout-spring", "--target", "tags.hotshoe.rollout.spring = 0"];
    let content = ["--content", r#"{"deviceContent": {"properties.desired.hotshoe.rollout": {}}}"#];
    let labels = [
        "--label",
        "hotshoe=rollout",
        "--label",
        &labels[0],
        "--label",
        &labels[1],
        "--label",
        "word=7bcdfg",
    ];
    let ran = place.run(&[&create[..], &content, &labels].concat()).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    for device in (1..=4).map(|number| format!("sim-{number:04}")) {
        let ran = place.run(&["twin", "set", &device, "tags.hotshoe.rollout.spring=1"]).await;
        assert_eq!(ran.exit, 0, "{ran:?}");
    }
    let ran = place.run(&["rollout", "show", "spring", "--json"]).await;
    assert_eq!(devices(&ran.json(), &["waiting"]).len(), 4, "{ran:?}");

    let ran = place.run(&["rollout", "abort", "spring"]).await;
    assert_eq!(ran.stdout, "spring is aborted\n", "{ran:?}");
    let ran = place.run(&[&firmware[..], &follow].concat()).await;
    assert_eq!(ran.exit, 70, "{ran:?}");
    assert_eq!(devices(&report(directory.path(), "spring").0, &["unreachable"]).len(), 4, "{ran:?}");
    let ran = place.run(&["rollout", "delete", "spring"]).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let summary = fleet.end().await;
    assert_eq!(summary["calls"], 0, "{summary}");
}
