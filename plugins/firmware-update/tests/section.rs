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

#[test]
fn the_section_is_refused_where_the_dialect_is_off() {
    let refusal = device().with_settings(json!({})).apply::<FirmwareUpdate>(wanted());
    assert_eq!(refusal.status, 400);
    assert!(refusal.description.unwrap().contains("dialects"));
}
