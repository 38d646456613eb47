//! The desired section `firmware` on the fake device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use firmware_update::FirmwareUpdate;
use hotshoe_guest::testing::{Device, End};
use serde_json::{Value, json};

const URI: &str = "https://images.example.com/2.8.5.img";

fn device() -> Device {
    Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, b"image")
        .with_slots(&[("a", 4096), ("b", 4096)])
        .with_settings(json!({ "dialects": ["firmware"] }))
}

fn wanted() -> Value {
    json!({ "fwVersion": "2.8.5", "fwPackageURI": URI, "fwPackageCheckValue": null })
}

#[test]
fn a_version_that_does_not_run_is_installed_and_acknowledged() {
    let device = device();
    let acknowledgement = device.apply::<FirmwareUpdate>(wanted());
    assert_eq!(acknowledgement.status, 202);
    let job = acknowledgement.job.unwrap();
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    let twin = device.reported();
    assert_eq!(twin["firmware"]["fwUpdateStatus"], "current");
    assert_eq!(twin["firmware"]["currentFwVersion"], "2.8.5");
    assert_eq!(twin["firmware"]["ac"], 202);
    assert!(twin.get("firmwareStatus").is_none());

    let again = device.apply::<FirmwareUpdate>(wanted());
    assert_eq!((again.status, again.job), (200, None));
    assert_eq!(device.reported()["firmware"]["fwUpdateSubstatus"], "Firmware already up to date");
}

#[test]
fn a_section_during_an_update_is_409() {
    let device = device();
    device.call::<FirmwareUpdate>("firmwareUpdate", json!(URI)).job.unwrap();
    assert_eq!(device.apply::<FirmwareUpdate>(wanted()).status, 409);
}

#[test]
fn bad_sections_are_refused_with_the_reason() {
    for (section, said) in [
        (json!({ "fwVersion": "1", "fwPackageURI": "http://example.com/a" }), "https://"),
        (json!({ "fwVersion": "1" }), "no fwPackageUri"),
        (json!({ "fwPackageURI": URI }), "fwVersion is missing"),
        (
            json!({ "fwVersion": "1", "fwPackageURI": URI, "fwPackageCheckValue": "1234" }),
            "64 hexadecimal digits",
        ),
        (json!("2.8.5"), "expected a map"),
    ] {
        let refusal = device().apply::<FirmwareUpdate>(section.clone());
        assert_eq!((refusal.status, refusal.job), (400, None), "{section}");
        let text = refusal.description.unwrap_or_default();
        assert!(text.contains(said), "{section} was told {text:?}");
    }
    assert_eq!(device().apply::<FirmwareUpdate>(json!({})).status, 200);
}

#[test]
fn what_fell_back_is_not_tried_again_until_the_section_changes() {
    let device = device();
    let job = device.apply::<FirmwareUpdate>(wanted()).job.unwrap();
    assert_eq!(device.run_job::<FirmwareUpdate>(&job), End::Restart);
    device.restart_falling_back();
    assert_eq!(device.run_job::<FirmwareUpdate>(&job), End::Restart, "a second trial");
    device.restart_falling_back();
    assert!(matches!(device.run_job::<FirmwareUpdate>(&job), End::Permanent(_)));
    assert_eq!(device.reported()["firmware"]["fwUpdateStatus"], "rolledback");

    let again = device.apply::<FirmwareUpdate>(wanted());
    assert_eq!((again.status, again.job), (400, None));
    assert!(again.description.unwrap().contains("did not stay up"));

    let other = json!({ "fwVersion": "2.8.6", "fwPackageURI": URI });
    assert_eq!(device.apply::<FirmwareUpdate>(other).status, 202);
}

/// Has an order fail for good: there is no such file.
fn fail(device: &Device, section: &Value) {
    let job = device.apply::<FirmwareUpdate>(section.clone()).job.unwrap();
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Permanent(_)));
}

#[test]
fn what_failed_is_refused_whatever_direct_methods_did_since() {
    let device = device();
    let gone = json!({ "fwVersion": "3.0.0", "fwPackageURI": "https://images.example.com/gone.img" });
    fail(&device, &gone);
    // One that comes through, and one that fails.
    let job = device.call::<FirmwareUpdate>("firmwareUpdate", json!(URI)).job.unwrap();
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    let bad = json!("https://images.example.com/bad.img");
    let job = device.call::<FirmwareUpdate>("firmwareUpdate", bad).job.unwrap();
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Permanent(_)));
    let again = device.apply::<FirmwareUpdate>(gone.clone());
    assert_eq!((again.status, again.job), (400, None));

    // Until the section changes, be it to nothing.
    assert_eq!(device.apply::<FirmwareUpdate>(json!({})).status, 200);
    assert_eq!(device.apply::<FirmwareUpdate>(gone).status, 202);
}

#[test]
fn what_a_version_before_kept_still_counts() {
    let device = device();
    fail(&device, &json!({ "fwVersion": "3.0.0", "fwPackageURI": "https://images.example.com/gone.img" }));
    let kept: Value = serde_json::from_slice(&device.stored("failure").unwrap()).unwrap();
    let one = serde_json::to_vec(&kept[0]).unwrap();
    device.within(|| hotshoe_guest::storage::set("failure", &one).unwrap());
    let gone = json!({ "fwVersion": "3.0.0", "fwPackageURI": "https://images.example.com/gone.img" });
    assert_eq!(device.apply::<FirmwareUpdate>(gone).status, 400);
}

#[test]
fn a_trial_that_nobody_confirmed_is_not_the_current_version() {
    let device = device();
    for version in ["2.8.4", "2.8.5"] {
        let section = json!({ "fwVersion": version, "fwPackageURI": URI });
        let job = device.apply::<FirmwareUpdate>(section.clone()).job.unwrap();
        assert_eq!(device.run_job::<FirmwareUpdate>(&job), End::Restart);
        device.restart();
        if version == "2.8.4" {
            assert!(matches!(device.run_job::<FirmwareUpdate>(&job), End::Done(_)));
            continue;
        }
        device.apply::<FirmwareUpdate>(section);
        let twin = device.reported();
        assert_eq!(twin["firmware"]["currentFwVersion"], "2.8.4", "{twin}");
        assert_ne!(twin["firmware"]["fwUpdateStatus"], "current", "{twin}");
        // Somebody said otherwise, and the trial is given up.
        device.within(|| {
            hotshoe_guest::report::patch(&json!({ "firmware": { "currentFwVersion": version } })).unwrap();
        });
        device.cancel_job(&job);
        assert_eq!(device.run_job::<FirmwareUpdate>(&job), End::Cancelled);
        assert_eq!(device.reported()["firmware"]["currentFwVersion"], "2.8.4");
    }
}

#[test]
fn the_section_is_refused_where_the_dialect_is_off() {
    let refusal = device().with_settings(json!({})).apply::<FirmwareUpdate>(wanted());
    assert_eq!(refusal.status, 400);
    assert!(refusal.description.unwrap().contains("dialects"));
}
