//! A trial that cannot be armed is no trial: it is tried again, and told as what it is. One that is confirmed is no
//! failure, whatever fails afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use firmware_update::FirmwareUpdate;
use hotshoe_guest::testing::{Device, End};
use serde_json::json;

const URI: &str = "https://images.example.com/2.8.5.img";

/// A device that fails so often to arm a slot, and its update.
fn ordered(failures: u32) -> (Device, String) {
    let device = Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, b"the image, which is not very long")
        .with_slots(&[("a", 4096), ("b", 4096)]);
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
