//! Images for the parts of a group of slots: all of them or none, wherever the update is cut, and nothing for an order
//! that does not fit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use firmware_update::FirmwareUpdate;
use hotshoe_guest::testing::{Device, End};
use serde_json::{Value, json};

const URI: &str = "https://images.example.com/2.8.5.img";
const IMAGE: &[u8] = b"the image, which is not very long";
/// What `sha256sum` says of the image.
const DIGEST: &str = "sha256:959d542dd1ff2a3b8c8c7465c44aefd1f477621f52e5589bbf5032c57f77b009";
const KERNEL: &str = "https://images.example.com/kernel.img";

/// A device with two groups of two parts each, and an order for both parts.
fn grouped() -> (Device, Value) {
    let parts: &[(&str, u64)] = &[("kernel", 64), ("root", 4096)];
    let device = Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, IMAGE)
        .with_signed_file(KERNEL, b"the kernel", Some("2.8.5"))
        .with_groups(&[("a", parts), ("b", parts)])
        .with_settings(json!({ "dialects": ["python", "iothubDM", "firmware"] }));
    // In another order than the parts have.
    let images = json!([
        { "part": "root", "fwPackageUri": URI, "digest": DIGEST },
        { "part": "b/kernel", "fwPackageUri": KERNEL },
    ]);
    (device, json!({ "images": images, "version": "2.8.5" }))
}

fn start(device: &Device, payload: Value) -> String {
    let answer = device.call::<FirmwareUpdate>("firmwareUpdate", payload);
    assert_eq!((answer.status, answer.payload), (200, json!({ "Response": "Firmware update started" })));
    answer.job.expect("the answer announces a job")
}

fn run(device: &Device, job: &str) -> End {
    device.run_job::<FirmwareUpdate>(job)
}

#[test]
fn the_parts_of_a_group_are_updated_together_wherever_it_is_killed() {
    for index in 0.. {
        let (device, payload) = grouped();
        let job = start(&device, payload);
        device.kill_at_call(index);
        let mut killed = false;
        let end = loop {
            match run(&device, &job) {
                End::Restart => device.restart(),
                End::Interrupted => {
                    killed = true;
                    let (kernel, root) = (device.slot("b/kernel"), device.slot("b/root"));
                    assert!(
                        !kernel.trial || (kernel.sealed && root.sealed),
                        "killed at call {index}: all or none"
                    );
                    device.restart();
                }
                end => break end,
            }
        };
        assert_eq!(end, End::Done(json!({ "slot": "b", "version": "2.8.5" })), "killed at call {index}");
        let (kernel, root) = (device.slot("b/kernel"), device.slot("b/root"));
        assert_eq!((kernel.bytes.as_slice(), root.bytes.as_slice()), (&b"the kernel"[..], IMAGE));
        assert!(kernel.running && kernel.good && root.running && root.good, "killed at call {index}");
        assert_eq!(device.reported()["firmwareStatus"], "completed");
        assert_eq!(device.reported()["iothubDM"]["firmwareUpdate"]["fwPackageUri"], URI);
        assert_eq!(
            (device.fetched(URI), device.fetched(KERNEL)),
            (IMAGE.len() as u64, 10),
            "killed at {index}"
        );
        if !killed {
            return;
        }
    }
}

#[test]
fn an_order_that_does_not_fit_the_groups_fetches_nothing() {
    let kernel = json!({ "part": "kernel", "fwPackageUri": KERNEL });
    let root = json!({ "part": "root", "fwPackageUri": URI, "digest": DIGEST });
    let third = json!({ "part": "data", "fwPackageUri": URI, "digest": DIGEST });
    let unknown = json!({ "part": "root", "fwPackageUri": URI });
    for (payload, code, told) in [
        (json!({ "images": [kernel] }), "wrongParts", "no image for \"b/root\""),
        (json!({ "images": [kernel, third] }), "wrongParts", "no image for \"b/root\""),
        (json!({ "images": [kernel, root, third] }), "wrongParts", "3 images were ordered"),
        (json!({ "fwPackageUri": URI, "digest": DIGEST }), "wrongParts", "the parts b/kernel, b/root"),
        (json!({ "images": [kernel, unknown] }), "unknownImage", "give its digest"),
    ] {
        let (device, _) = grouped();
        let job = start(&device, payload.clone());
        assert!(matches!(run(&device, &job), End::Permanent(text) if text.contains(told)), "{payload}");
        assert_eq!(device.reported()["firmwareError"]["code"], code, "{payload}");
        assert_eq!(device.fetched(URI) + device.fetched(KERNEL), 0, "{payload}");
    }
}
