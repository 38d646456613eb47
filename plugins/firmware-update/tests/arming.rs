//! A trial that cannot be armed is no trial: it is tried again, and told as what it is. One that is confirmed is no
//! failure, whatever fails afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use firmware_update::FirmwareUpdate;
use hotshoe_guest::testing::{Device, End};
use serde_json::json;

const URI: &str = "https://images.example.com/2.8.5.img";

const IMAGE: &[u8] = b"the image, which is not very long";
/// What `sha256sum` says of the image.
const DIGEST: &str = "sha256:959d542dd1ff2a3b8c8c7465c44aefd1f477621f52e5589bbf5032c57f77b009";

fn device() -> Device {
    Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, IMAGE)
        .with_slots(&[("a", 4096), ("b", 4096)])
}

/// A device that fails so often to arm a slot, and its update.
fn ordered(failures: u32) -> (Device, String) {
    let device = device();
    let payload = json!({ "fwPackageUri": URI, "version": "2.8.5" });
    let job =
        device.call::<FirmwareUpdate>("firmwareUpdate", payload).job.expect("the answer announces a job");
    device.fail("flash.activate-if-allowed", failures);
    (device, job)
}

fn run(device: &Device, job: &str) -> End {
    device.run_job::<FirmwareUpdate>(job)
}

#[test]
fn as_many_failures_to_arm_as_there_are_trials_cost_the_image_none() {
    let (device, job) = ordered(3);
    for _ in 0..3 {
        assert!(matches!(run(&device, &job), End::Transient(_)));
    }
    assert_eq!(run(&device, &job), End::Restart);
    device.restart();
    assert!(matches!(run(&device, &job), End::Done(_)));
    assert!(device.slot("b").good && device.slot("b").running);
    assert_eq!(device.reported()["firmwareStatus"], "completed");
}

#[test]
fn what_can_never_be_armed_has_failed_and_not_fallen_back() {
    let (device, job) = ordered(100);
    let reason = loop {
        match run(&device, &job) {
            End::Transient(_) => {}
            End::Permanent(reason) => break reason,
            end => panic!("{end:?}"),
        }
    };
    assert!(!reason.contains("did not stay up"), "{reason}");
    assert!(device.slot("a").running && !device.slot("b").trial);
    assert_eq!(device.reported()["firmwareStatus"], "failed");
}

/// The trial runs and damages its slot, and the power goes.
fn lose_a_trial(device: &Device) {
    device.restart();
    assert!(device.slot("b").running);
    device.damage("b");
    device.restart();
    assert!(device.slot("a").running);
}

#[test]
fn an_image_that_its_trial_left_damaged_is_received_anew_and_tried_again() {
    // Known before it is fetched, and once it is here.
    for digest in [Some(DIGEST), None] {
        let device = device();
        let payload = json!({ "fwPackageUri": URI, "version": "2.8.5", "digest": digest });
        let job = device.call::<FirmwareUpdate>("firmwareUpdate", payload).job.unwrap();
        assert_eq!(run(&device, &job), End::Restart);
        lose_a_trial(&device);
        assert_eq!(run(&device, &job), End::Restart);
        assert_eq!(device.slot("b").bytes, IMAGE);
        device.restart();
        assert!(matches!(run(&device, &job), End::Done(_)));
        assert_eq!(device.reported()["firmwareStatus"], "completed");
    }
}

#[test]
fn an_image_that_each_trial_damages_falls_back_as_any_other() {
    let (device, job) = ordered(0);
    for _ in 0..2 {
        assert_eq!(run(&device, &job), End::Restart);
        lose_a_trial(&device);
    }
    let End::Permanent(reason) = run(&device, &job) else { panic!("it goes on") };
    assert!(reason.contains("did not stay up"), "{reason}");
    assert_eq!(device.reported()["firmwareStatus"], "rolledBack");
    // Ordered again it is as good as any.
    let again = device.call::<FirmwareUpdate>("firmwareUpdate", json!(URI)).job.unwrap();
    assert!(matches!(device.finish::<FirmwareUpdate>(&again), End::Done(_)));
}

#[test]
fn what_is_confirmed_is_told_as_completed_however_late() {
    let (device, job) = ordered(0);
    assert_eq!(run(&device, &job), End::Restart);
    device.restart();
    // More than there are attempts: the last ones find that it is confirmed.
    device.fail("report.patch", 11);
    let end = loop {
        match run(&device, &job) {
            End::Transient(_) => {}
            end => break end,
        }
    };
    assert!(matches!(end, End::Done(_)), "{end:?}");
    assert!(device.slot("b").good && device.slot("b").running);
    assert_eq!(device.reported()["firmwareStatus"], "completed");
}
