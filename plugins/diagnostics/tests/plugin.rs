//! The plugin on the fake device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use diagnostics::Diagnostics;
use hotshoe_guest::testing::{Device, End};
use serde_json::json;

fn device() -> Device {
    Device::new().with_manifest(include_str!("../plugin.toml"))
}

#[test]
fn ping_echoes_any_payload() {
    for payload in [json!(null), json!({ "a": [1, "b"] }), json!("text")] {
        let answer = device().call::<Diagnostics>("ping", payload.clone());
        assert_eq!((answer.status, &answer.payload["echo"]), (200, &payload));
        assert_eq!(answer.payload["time"], "2026-01-01T00:00:01Z");
    }
}

#[test]
fn facts_name_the_device() {
    let answer = device().call::<Diagnostics>("deviceFacts", json!(null));
    assert_eq!((answer.status, &answer.payload["deviceId"]), (200, &json!("device")));
    assert_eq!(answer.payload["memoryBytes"], 1 << 30);
}

#[test]
fn reboot_tells_before_and_after() {
    let device = device();
    let answer = device.call::<Diagnostics>("reboot", json!(null));
    assert_eq!((answer.status, answer.payload), (200, json!("Reboot started")));
    let job = answer.job.unwrap();

    assert_eq!(device.run_job::<Diagnostics>(&job), End::Restart);
    assert_eq!(
        device.reported()["iothubDM"]["reboot"],
        json!({ "startedRebootTime": "2026-01-01T00:00:01Z" })
    );

    assert_eq!(device.call::<Diagnostics>("reboot", json!(null)).status, 409, "one reboot at a time");

    device.restart();
    let end = device.run_job::<Diagnostics>(&job);
    assert_eq!(end, End::Done(json!({ "lastReboot": "2026-01-01T00:00:02Z" })));
    assert_eq!(
        device.reported()["iothubDM"]["reboot"],
        json!({ "startedRebootTime": "2026-01-01T00:00:01Z", "lastReboot": "2026-01-01T00:00:02Z" })
    );
}

#[test]
fn reboot_ends_however_often_it_is_killed() {
    for index in 0.. {
        let device = device();
        let job = device.call::<Diagnostics>("reboot", json!(null)).job.unwrap();
        let before = device.calls().len();
        device.kill_at_call(index);
        assert!(matches!(device.finish::<Diagnostics>(&job), End::Done(_)), "killed at call {index}");
        assert!(device.reported()["iothubDM"]["reboot"]["lastReboot"].is_string());
        if device.calls().len() <= before + index {
            return;
        }
    }
}

#[test]
fn an_unknown_method_is_404() {
    assert_eq!(Device::new().call::<Diagnostics>("pong", json!(null)).status, 404);
}
