//! What an operator and the device's policy do to an update: cancelled wherever it stands, put off and let through.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use std::time::Duration;

use firmware_update::FirmwareUpdate;
use hotshoe_guest::testing::{Device, End};
use serde_json::{Value, json};

const URI: &str = "https://images.example.com/2.8.5.img";
const IMAGE: &[u8] = b"the image, which is not very long";

fn device() -> Device {
    Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, IMAGE)
        .with_slots(&[("a", 4096), ("b", 4096)])
        .with_settings(json!({ "dialects": ["python", "iothubDM", "firmware"] }))
}

fn order(device: &Device) -> String {
    let payload = json!({ "fwPackageUri": URI, "version": "2.8.5" });
    device.call::<FirmwareUpdate>("firmwareUpdate", payload).job.expect("the answer announces a job")
}

fn run(device: &Device, job: &str) -> End {
    device.run_job::<FirmwareUpdate>(job)
}

fn assert_cancelled(device: &Device, status: &str) {
    assert!(device.slot("a").running && device.slot("a").good && !device.slot("b").trial);
    let twin = device.reported();
    assert_eq!(twin["firmwareStatus"], "cancelled", "{twin}");
    assert_eq!(twin["firmwareError"]["code"], "cancelled", "{twin}");
    assert_eq!(twin["iothubDM"]["firmwareUpdate"]["status"], status, "{twin}");
    assert_eq!(twin["firmware"]["fwUpdateStatus"], "error", "{twin}");
    assert!(twin.get("firmwarePostponed").is_none_or(Value::is_null), "{twin}");
}

#[test]
fn a_cancelled_update_says_so_wherever_it_stood() {
    // Before it ran, when the fetch broke off, restarting, and on trial.
    let before: fn(&Device, &str) = |_, _| {};
    let fetching: fn(&Device, &str) = |device, job| {
        device.interrupt_fetches(1);
        assert!(matches!(run(device, job), End::Transient(_)));
    };
    let restarting: fn(&Device, &str) = |device, job| assert_eq!(run(device, job), End::Restart);
    let on_trial: fn(&Device, &str) = |device, job| {
        assert_eq!(run(device, job), End::Restart);
        device.restart();
        assert!(device.slot("b").running);
    };
    for (stage, status) in [
        (before, "downloadFailed"),
        (fetching, "downloadFailed"),
        (restarting, "applyFailed"),
        (on_trial, "applyFailed"),
    ] {
        let device = device();
        let job = order(&device);
        stage(&device, &job);
        device.cancel_job(&job);
        assert_eq!(run(&device, &job), End::Cancelled);
        assert_cancelled(&device, status);
        // The device is as ready as before.
        let again = order(&device);
        assert!(matches!(device.finish::<FirmwareUpdate>(&again), End::Done(_)));
        assert_eq!(device.reported()["firmwareStatus"], "completed");
    }
}

#[test]
fn whatever_call_of_the_last_run_is_cut_it_ends_cancelled() {
    for index in 0..30 {
        let device = device();
        let job = order(&device);
        assert_eq!(run(&device, &job), End::Restart);
        device.cancel_job(&job);
        device.kill_at_call(index);
        if run(&device, &job) == End::Interrupted {
            assert_eq!(run(&device, &job), End::Cancelled);
        }
        assert_cancelled(&device, "applyFailed");
    }
}

#[test]
fn an_update_that_is_put_off_waits_and_says_why() {
    let device = device();
    let job = order(&device);
    for _ in 0..5 {
        device.postpone("no maintenance window is open", Duration::from_secs(600));
    }
    for _ in 0..5 {
        assert_eq!(run(&device, &job), End::Later(Duration::from_secs(600)));
        let twin = device.reported();
        assert_eq!(twin["firmwareStatus"], "applying", "the word that a watcher knows");
        let postponed = json!({ "reason": "no maintenance window is open", "retryAfterSeconds": 600 });
        assert_eq!(twin["firmwarePostponed"], postponed);
        assert_eq!(twin["iothubDM"]["firmwareUpdate"]["status"], "applying");
        assert_eq!(twin["firmware"]["fwUpdateStatus"], "applying");
        assert!(!device.slot("b").trial, "nothing is armed");
    }
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    let twin = device.reported();
    assert_eq!(twin["firmwareStatus"], "completed");
    assert!(twin.get("firmwarePostponed").is_none(), "{twin}");
}

#[test]
fn a_cancelled_order_of_the_desired_section_is_not_tried_again() {
    let device = device();
    let wish = json!({ "fwVersion": "2.8.5", "fwPackageURI": URI });
    let job = device.apply::<FirmwareUpdate>(wish.clone()).job.expect("a job");
    device.cancel_job(&job);
    assert_eq!(run(&device, &job), End::Cancelled);
    let again = device.apply::<FirmwareUpdate>(wish);
    assert_eq!(again.status, 400);
    assert!(again.description.unwrap().contains("cancelled"));
}
