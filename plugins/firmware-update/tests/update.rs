//! Whole updates on the fake device: every form of order, every phase, every interruption, every bad end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test

use firmware_update::FirmwareUpdate;
use hotshoe_guest::RawCheckpoint;
use hotshoe_guest::log::Level;
use hotshoe_guest::testing::{Device, End};
use serde_json::{Value, json};

const URI: &str = "https://images.example.com/2.8.5.img";
const IMAGE: &[u8] = b"the image, which is not very long";
/// What `sha256sum` says of the image.
const DIGEST: &str = "sha256:959d542dd1ff2a3b8c8c7465c44aefd1f477621f52e5589bbf5032c57f77b009";

fn device() -> Device {
    Device::new()
        .with_manifest(include_str!("../plugin.toml"))
        .with_file(URI, IMAGE)
        .with_slots(&[("a", 4096), ("b", 4096)])
        .with_settings(json!({ "dialects": ["python", "iothubDM", "firmware"] }))
}

/// Orders the image and returns the job.
fn order(device: &Device) -> String {
    start(device, json!({ "fwPackageUri": URI, "version": "2.8.5" }))
}

/// Orders the image by its digest: it is known before it is fetched.
fn order_known(device: &Device) -> String {
    start(device, json!({ "fwPackageUri": URI, "version": "2.8.5", "digest": DIGEST }))
}

fn start(device: &Device, payload: Value) -> String {
    let answer = device.call::<FirmwareUpdate>("firmwareUpdate", payload);
    assert_eq!((answer.status, answer.payload), (200, json!({ "Response": "Firmware update started" })));
    answer.job.expect("the answer announces a job")
}

fn run(device: &Device, job: &str) -> End {
    device.run_job::<FirmwareUpdate>(job)
}

/// The device runs the image and says so, in every dialect.
fn assert_completed(device: &Device, context: &str) {
    let slot = device.slot("b");
    assert_eq!(slot.bytes, IMAGE, "{context}");
    assert!(slot.running && slot.good && slot.sealed && !slot.trial, "{context}: {slot:?}");
    let twin = device.reported();
    assert_eq!(twin["firmwareStatus"], "completed", "{context}: {twin}");
    assert_eq!(twin["iothubDM"]["firmwareUpdate"]["status"], "applyComplete", "{context}");
    assert_eq!(twin["firmware"]["fwUpdateStatus"], "current", "{context}");
    for time in ["logTime", "downloadComplete", "startedApplyingImage", "lastFirmwareUpdate"] {
        assert!(twin[time].is_string(), "{context}: {time} is missing in {twin}");
    }
    assert!(twin.get("firmwareError").is_none(), "{context}: {twin}");
}

/// The device runs what it ran, and says why, in every dialect.
fn assert_failed(device: &Device, code: &str, dialect: &str) {
    assert!(device.slot("a").running && !device.slot("b").trial);
    let twin = device.reported();
    assert_eq!(twin["firmwareStatus"], "failed", "{twin}");
    assert_eq!(twin["firmwareError"]["code"], code, "{twin}");
    assert!(!twin["firmwareError"]["message"].as_str().unwrap().is_empty());
    assert_eq!(twin["iothubDM"]["firmwareUpdate"]["status"], dialect);
    assert_eq!(twin["iothubDM"]["firmwareUpdate"]["error"]["code"], code);
    assert_eq!(twin["firmware"]["fwUpdateStatus"], "error");
}

#[test]
fn every_form_of_order_ends_on_the_image() {
    for payload in [
        json!({ "fwPackageUri": URI }),
        json!({ "fwPackageUri": URI, "digest": DIGEST, "size": IMAGE.len(), "version": "2.8.5" }),
        json!(format!("{{\"fwPackageUri\":\"{URI}\"}}")),
        json!(URI),
    ] {
        let device = device();
        let job = start(&device, payload.clone());
        assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)), "{payload}");
        assert_completed(&device, &payload.to_string());
    }
}

#[test]
fn an_image_without_a_version_takes_the_start_of_its_digest() {
    let device = device();
    let job = start(&device, json!(URI));
    device.finish::<FirmwareUpdate>(&job);
    assert_eq!(device.slot("b").version.as_deref(), DIGEST.get(7..19));
}

#[test]
fn bad_orders_are_refused_and_leave_no_trace() {
    let device = device();
    for (payload, said) in [
        (json!(null), "payload is missing"),
        (json!({ "fwPackageUri": "test.com" }), "https://"),
        (json!({ "fwPackageUri": "http://example.com/a" }), "https://"),
        (json!({ "fwPackageUri": URI, "digest": "1" }), "64 hexadecimal digits"),
    ] {
        let answer = device.call::<FirmwareUpdate>("firmwareUpdate", payload.clone());
        let message = answer.payload["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, answer.job), (400, None), "{payload}");
        assert!(message.contains(said), "{payload} was told {message:?}");
    }
    assert_eq!(device.reported(), json!({}));
}

#[test]
fn the_twin_tells_every_phase_in_every_dialect_whichever_way_the_image_comes() {
    for order in [order, order_known] {
        every_phase_is_told(order);
    }
}

fn every_phase_is_told(order: fn(&Device) -> String) {
    let device = device();
    let job = order(&device);
    device.finish::<FirmwareUpdate>(&job);

    let told = |path: &[&str]| -> Vec<String> {
        let at = |patch: &Value| path.iter().try_fold(patch.clone(), |value, key| value.get(*key).cloned());
        device.patches().iter().filter_map(at).filter_map(|value| Some(value.as_str()?.to_owned())).collect()
    };
    assert_eq!(told(&["firmwareStatus"]), ["standBy", "downloading", "applying", "completed"]);
    assert_eq!(
        told(&["iothubDM", "firmwareUpdate", "status"]),
        ["waiting", "downloading", "downloadComplete", "applying", "applyComplete"]
    );
    assert_eq!(
        told(&["firmware", "fwUpdateStatus"]),
        ["downloading", "verifying", "applying", "rebooting", "current"]
    );
    assert_eq!(told(&["iothubDM", "firmwareUpdate", "fwPackageUri"]), [URI]);
    assert_eq!(device.reported()["firmware"]["currentFwVersion"], "2.8.5");
    assert!(device.reported()["firmware"].get("pendingFwVersion").is_none());
    // The first thing a service app finds is standBy with its time, and nothing from before.
    assert_eq!(device.patches()[0]["logTime"], "2026-01-01T00:00:01Z");
    assert_eq!(device.patches()[0]["lastFirmwareUpdate"], Value::Null);
}

#[test]
fn python_alone_is_spoken_unless_told_otherwise() {
    for settings in [json!({}), json!({ "dialects": ["klingon"] })] {
        let device = device().with_settings(settings.clone());
        let job = order(&device);
        device.finish::<FirmwareUpdate>(&job);
        let twin = device.reported();
        assert_eq!(twin["firmwareStatus"], "completed");
        assert!(twin.get("iothubDM").is_none() && twin.get("firmware").is_none(), "{settings}: {twin}");
        let warned =
            device.log().iter().any(|line| line.level == Level::Warn && line.message.contains("dialects"));
        assert_eq!(warned, settings != json!({}), "{settings}");
    }
}

#[test]
fn one_update_at_a_time() {
    let device = device();
    let job = order(&device);
    let answer = device.call::<FirmwareUpdate>("firmwareUpdate", json!(URI));
    assert_eq!(answer.status, 409);
    assert!(answer.payload.to_string().contains(&job));
    device.finish::<FirmwareUpdate>(&job);
    order(&device);
}

#[test]
fn a_second_update_clears_what_the_first_left() {
    let device = device();
    let job = order(&device);
    device.finish::<FirmwareUpdate>(&job);
    let job = start(&device, json!("https://images.example.com/missing.img"));
    device.finish::<FirmwareUpdate>(&job);
    let twin = device.reported();
    assert_eq!(twin["firmwareStatus"], "failed");
    for time in ["downloadComplete", "startedApplyingImage", "lastFirmwareUpdate"] {
        assert!(
            twin.get(time).is_none() && twin["iothubDM"]["firmwareUpdate"].get(time).is_none(),
            "{time}: {twin}"
        );
    }
}

/// Kills the plugin at each call into the host in turn, until an update comes through without being hit.
fn killed_everywhere(payload: &Value, most_fetches: u64, after: impl Fn(&Device)) {
    for index in 0.. {
        let device = device();
        let job = start(&device, payload.clone());
        let before = device.calls().len();
        device.kill_at_call(index);
        let mut killed = false;
        let end = loop {
            match run(&device, &job) {
                End::Restart => device.restart(),
                End::Interrupted => {
                    killed = true;
                    after(&device);
                }
                end => break end,
            }
        };
        let context = format!("killed at call {index}, {:?}", device.calls().get(before + index));
        assert_eq!(end, End::Done(json!({ "slot": "b", "version": "2.8.5" })), "{context}");
        assert_completed(&device, &context);
        assert!(device.fetched(URI) <= most_fetches * IMAGE.len() as u64, "{context}: fetched too often");
        if !killed {
            assert!(index > 20, "the update makes more calls than that");
            return;
        }
    }
}

#[test]
fn it_completes_when_killed_at_any_call() {
    let payload = json!({ "fwPackageUri": URI, "version": "2.8.5", "digest": DIGEST });
    killed_everywhere(&payload, 1, |_| {});
}

#[test]
fn it_completes_when_the_power_is_cut_at_any_call() {
    // Without a digest, what was fetched is known by its checkpoint alone.
    killed_everywhere(&json!({ "fwPackageUri": URI, "version": "2.8.5" }), 2, Device::restart);
}

#[test]
fn it_completes_when_the_last_word_of_a_run_is_lost() {
    // The run ended, and the host died before it had stored how: it runs again from the checkpoint.
    let device = device();
    let job = order(&device);
    device.ask_to_suspend(true);
    while run(&device, &job) == End::Suspended {
        if device.slot("b").trial {
            break;
        }
    }
    device.ask_to_suspend(false);
    device.restart();
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    assert_completed(&device, "suspended at every step");
}

#[test]
fn a_boot_that_falls_back_is_told_and_ends_the_update() {
    let device = device();
    let job = order(&device);
    assert_eq!(run(&device, &job), End::Restart);
    assert!(device.slot("b").trial);
    device.restart_falling_back();
    // Once may have been a power cut on the way up: a good image gets another trial.
    assert_eq!(run(&device, &job), End::Restart);
    device.restart_falling_back();
    assert!(matches!(run(&device, &job), End::Permanent(reason) if reason.contains("did not stay up")));

    let twin = device.reported();
    assert!(device.slot("a").running && !device.slot("b").good);
    assert_eq!(twin["firmwareStatus"], "rolledBack");
    assert_eq!(twin["firmwareError"]["code"], "rolledBack");
    assert_eq!(twin["iothubDM"]["firmwareUpdate"]["status"], "applyFailed");
    assert_eq!(twin["firmware"]["fwUpdateStatus"], "rolledback");
}

#[test]
fn one_power_cut_on_the_way_up_costs_a_boot_and_not_the_update() {
    let device = device();
    let job = order(&device);
    assert_eq!(run(&device, &job), End::Restart);
    device.restart_falling_back();
    assert_eq!(run(&device, &job), End::Restart);
    device.restart();
    assert!(matches!(run(&device, &job), End::Done(_)));
    assert_completed(&device, "after a trial that was cut on its way up");
}

#[test]
fn a_fall_back_ends_the_update_wherever_it_is_killed_too() {
    for index in 0.. {
        let device = device();
        let job = order(&device);
        let before = device.calls().len();
        device.kill_at_call(index);
        let mut killed = false;
        let mut boots = 0;
        loop {
            match run(&device, &job) {
                End::Restart => {
                    boots += 1;
                    device.restart_falling_back();
                }
                End::Interrupted => killed = true,
                End::Permanent(_) => break,
                end => panic!("killed at call {index}: {end:?}"),
            }
        }
        let call = device.calls().get(before + index).copied();
        assert!(
            boots <= 3,
            "killed at call {index}, {call:?}: {boots} trials of an image that does not boot"
        );
        assert_eq!(device.reported()["firmwareStatus"], "rolledBack", "killed at call {index}, {call:?}");
        assert!(device.slot("a").running);
        if !killed {
            return;
        }
    }
}

#[test]
fn a_trial_that_dies_before_it_is_confirmed_is_not_tried_for_ever() {
    let device = device();
    let job = order(&device);
    let mut boots = 0;
    loop {
        match run(&device, &job) {
            End::Restart => {
                boots += 1;
                assert!(boots < 10, "the device boots for ever");
                device.restart();
                // The new image takes the device down as soon as the plugin runs.
                device.kill_at_call(2);
            }
            End::Interrupted => device.restart(),
            End::Permanent(_) => break,
            end => panic!("{end:?}"),
        }
    }
    assert!(device.slot("a").running);
    assert_eq!(device.reported()["firmwareStatus"], "rolledBack");
}

#[test]
fn a_download_that_breaks_off_is_tried_again() {
    let device = device();
    device.interrupt_fetches(3);
    let job = order(&device);
    for _ in 0..3 {
        assert!(matches!(run(&device, &job), End::Transient(_)));
        assert_eq!(device.reported()["firmwareStatus"], "downloading");
    }
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    assert_completed(&device, "after three broken downloads");
}

#[test]
fn a_download_that_never_comes_through_fails_in_the_end() {
    for (order, call) in
        [(order as fn(&Device) -> String, "download.fetch"), (order_known, "staging.receive")]
    {
        let device = device().with_status(URI, 503);
        let job = order(&device);
        assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Permanent(_)));
        assert_failed(&device, "status", "downloadFailed");
        assert_eq!(device.calls().iter().filter(|it| **it == call).count(), 8);
    }
}

#[test]
fn a_known_image_goes_straight_into_the_slot_and_nowhere_else() {
    let device = device();
    device.interrupt_fetches(3);
    let job = order_known(&device);
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)));
    assert_completed(&device, "by its digest");
    assert_eq!(device.fetched(URI), IMAGE.len() as u64);
    assert!(!device.calls().contains(&"download.fetch"), "nothing goes into the artifact store");
}

#[test]
fn a_signed_image_brings_its_version_and_must_agree_with_the_order() {
    let signed = || device().with_digests_wanted().with_signed_file(URI, IMAGE, Some("2.8.5"));
    for payload in [json!(URI), json!({ "fwPackageUri": URI, "size": IMAGE.len(), "version": "2.8.5" })] {
        let device = signed();
        let job = start(&device, payload.clone());
        assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)), "{payload}");
        assert_completed(&device, "signed");
        assert_eq!(device.slot("b").version.as_deref(), Some("2.8.5"));
        assert_eq!(device.reported()["firmware"]["currentFwVersion"], "2.8.5");
    }
    for payload in [
        json!({ "fwPackageUri": URI, "version": "2.8.6" }),
        json!({ "fwPackageUri": URI, "size": 7 }),
        json!({ "fwPackageUri": URI, "digest": format!("sha256:{}", "0".repeat(64)) }),
    ] {
        let device = signed();
        let job = start(&device, payload.clone());
        assert!(matches!(run(&device, &job), End::Permanent(_)), "{payload}");
        assert_failed(&device, "untrusted", "downloadFailed");
        assert_eq!(device.fetched(URI), 0, "{payload}: refused before a byte");
    }
    let device = signed().with_slots(&[("a", 4096), ("b", 8)]);
    let job = start(&device, json!(URI));
    assert!(matches!(run(&device, &job), End::Permanent(_)));
    assert_failed(&device, "insufficientSpace", "applyFailed");
    assert_eq!(device.fetched(URI), 0, "refused before a byte");
}

#[test]
fn an_image_that_reads_back_wrong_is_received_once_more_and_no_more() {
    let device = device();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let job = start(&device, json!({ "fwPackageUri": URI, "digest": wrong }));
    assert!(matches!(run(&device, &job), End::Permanent(_)));
    assert_failed(&device, "digestMismatch", "downloadFailed");
    assert_eq!(device.fetched(URI), 2 * IMAGE.len() as u64);
}

/// What version 0.1.0 stored at each of its steps, before images went straight into their slots.
#[test]
fn jobs_of_the_first_version_go_on_from_every_step() {
    let steps = [
        ("fetching", json!("Fetching")),
        ("fetched", json!({ "Fetched": { "digest": DIGEST } })),
        ("staging", json!({ "Staging": { "slot": "b", "digest": DIGEST, "version": "2.8.5" } })),
    ];
    for (phase, step) in steps {
        let device = device();
        let job = order_known(&device);
        let checkpoint =
            RawCheckpoint { phase: phase.to_owned(), schema: 1, bytes: step.to_string().into_bytes() };
        device.adopt::<FirmwareUpdate>(&job, "0.1.0", checkpoint).unwrap();
        assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)), "{phase}");
        assert!(device.slot("b").running && device.slot("b").bytes == IMAGE, "{phase}");
        assert!(device.calls().contains(&"download.fetch"), "{phase}: what is in the store is gone on with");
    }
    let later = RawCheckpoint { phase: "fetching".to_owned(), schema: 3, bytes: b"\"Fetching\"".to_vec() };
    let device = device();
    let job = order(&device);
    let refused = device.adopt::<FirmwareUpdate>(&job, "0.3.0", later).unwrap_err();
    assert!(refused.contains("schema 3"), "{refused}");
}

#[test]
fn a_disk_that_fails_for_a_while_is_lived_with() {
    for call in [
        "report.patch",
        "job.save",
        "flash.slots",
        "staging.open",
        "staging.append-artifact",
        "staging.seal",
        "flash.activate",
        "flash.confirm",
        "flash.groups",
        "download.fetch",
        "download.resolve",
        "staging.receive",
    ] {
        for order in [order, order_known] {
            let device = device();
            device.fail(call, 2);
            let job = order(&device);
            assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Done(_)), "{call}");
            assert_completed(&device, call);
        }
    }
}

#[test]
fn a_trial_that_cannot_be_confirmed_is_given_up() {
    let device = device();
    let job = order(&device);
    assert_eq!(run(&device, &job), End::Restart);
    device.restart();
    device.fail("flash.confirm", 100);
    assert!(matches!(device.finish::<FirmwareUpdate>(&job), End::Permanent(_)));
    assert_eq!(device.calls().last(), Some(&"report.flush"));
    assert!(device.calls().contains(&"flash.revert"));
    device.restart();
    assert_failed(&device, "io", "applyFailed");
}

#[test]
fn errors_that_no_retry_helps_fail_at_once() {
    let large = vec![7; 5000];
    let wrong = format!("sha256:{}", "0".repeat(64));
    for (device, payload, code, dialect) in [
        (device().with_status(URI, 404), json!(URI), "status", "downloadFailed"),
        (device(), json!({ "fwPackageUri": URI, "digest": wrong }), "digestMismatch", "downloadFailed"),
        (device(), json!({ "fwPackageUri": URI, "size": 7 }), "sizeMismatch", "downloadFailed"),
        (device().with_digests_wanted(), json!(URI), "untrusted", "downloadFailed"),
        (device().with_file(URI, &large), json!(URI), "insufficientSpace", "applyFailed"),
        (device().with_slots(&[("a", 4096)]), json!(URI), "unknownSlot", "applyFailed"),
    ] {
        let job = start(&device, payload);
        assert!(matches!(run(&device, &job), End::Permanent(_)), "{code}");
        assert_failed_or_slotless(&device, code, dialect);
    }
}

fn assert_failed_or_slotless(device: &Device, code: &str, dialect: &str) {
    match code {
        "unknownSlot" => assert_eq!(device.reported()["firmwareError"]["code"], code),
        _ => assert_failed(device, code, dialect),
    }
}
