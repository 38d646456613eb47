//! The main job, end to end: a service app orders an update from the hub, and the device carries it out over
//! restarts, `kill -9`, power cuts and cut links.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::{Phase, Setting, World, until};

const PHASES: [Phase; 7] = [
    Phase::Receiving,
    Phase::Sealing,
    Phase::Storing,
    Phase::Fetched,
    Phase::Staging,
    Phase::Booting,
    Phase::Confirming,
];

/// A world, and an update ordered in it that is held in the middle of its image if it is to be met there.
async fn under_way(phase: Phase) -> World {
    let by_store = matches!(phase, Phase::Storing | Phase::Fetched | Phase::Staging);
    let unsigned = if by_store { "allow" } else { "digest" };
    let world = World::start(Setting { unsigned, ..Setting::default() }).await;
    let coming = matches!(phase, Phase::Storing | Phase::Receiving);
    if coming {
        world.files.hold_after(2 * 1024 * 1024);
    }
    world.update_by(if by_store { world.order_unknown() } else { world.order() }).await;
    world.device.until_phase(phase).await;
    if coming {
        until("some of the image has come", || world.files.passed() > 1024 * 1024).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_completes_and_the_slot_is_byte_identical() {
    let world = World::start(Setting::default()).await;
    world.order_update().await;
    world.assert_updated().await;
    let reported = world.reported().await;
    assert!(reported["lastFirmwareUpdate"].is_string(), "{reported:#}");
    assert!(reported["downloadComplete"].is_string(), "{reported:#}");
    assert!(reported["startedApplyingImage"].is_string(), "{reported:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_in_each_phase_goes_on() {
    for phase in PHASES {
        let world = under_way(phase).await;
        world.device.kill().await;
        world.files.release();
        world.assert_updated().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_in_each_phase_before_the_restart_goes_on() {
    for phase in [Phase::Receiving, Phase::Sealing, Phase::Storing, Phase::Fetched, Phase::Staging] {
        let world = under_way(phase).await;
        world.device.power_cut();
        world.files.release();
        world.assert_updated().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_cut_in_each_phase_goes_on_and_the_twin_ends_true() {
    for phase in PHASES {
        let world = under_way(phase).await;
        world.link.open(false);
        world.link.cut();
        world.files.cut();
        world.files.release();
        world.link.open(true);
        world.assert_updated().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_that_does_not_come_up_is_told_as_rolled_back() {
    let world = World::start(Setting::default()).await;
    world.order_update().await;
    world.device.until_phase(Phase::Receiving).await;
    world.device.hang(true);
    // Once may be a power cut on the way up; twice is the image.
    for _ in 0..2 {
        until("the new image hangs", || world.device.path("hung").exists()).await;
        world.device.power_cut();
        until("the old one runs", || !world.device.path("hung").exists()).await;
    }
    world.device.hang(false);
    world.until_status("rolledBack").await;
    let status = world.status_when(|status| status["jobs"][0]["state"] == "failed").await;
    let slot = status["slots"].as_array().unwrap().iter().find(|slot| slot["name"] == "a").unwrap();
    assert_eq!((&slot["running"], &slot["good"]), (&json!(true), &json!(true)), "{slot}");
    // The device is as ready as before.
    world.order_update().await;
    world.assert_updated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_fails_is_left_by_a_restart_and_the_next_update_completes() {
    let plugins = vec!["diagnostics", "test-guest"];
    let mut world = World::start(Setting { plugins, ..Setting::default() }).await;
    // A plugin of the device's own, which is gone when the trial boots: nobody confirms.
    let own = world.device.version_of("firmware-update", "own.wasm", |manifest| manifest);
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[[plugins]]\nfile = \"own.wasm\"\n")).unwrap();
    world.device.power_on();
    world.order_update().await;
    let (aside, shelf) = (world.device.path("aside"), world.device.path("state/shelf"));
    let copies: Vec<_> = std::fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path()).collect();
    let copies = || copies.iter().chain([&own]).map(|file| (file, aside.join(file.file_name().unwrap())));
    std::fs::create_dir(&aside).unwrap();
    copies().for_each(|(file, copy)| std::fs::rename(file, copy).unwrap());
    let slot = |status: &serde_json::Value, number: usize| {
        let slot = &status["slots"][number];
        (slot["running"] == true, slot["good"] == true)
    };
    let waits = |status: &serde_json::Value| slot(status, 1).0 && status["jobs"][0]["state"] == "ready";
    world.status_when(waits).await;
    // Another plugin gives the trial up: the image that runs can never be confirmed.
    assert_eq!(world.call("revert", json!(null)).await.0, 200);
    copies().for_each(|(file, copy)| std::fs::rename(copy, file).unwrap());
    world.device.kill().await;
    world.until_status("failed").await;
    world.status_when(|status| status["jobs"][0]["state"] == "failed").await;
    let status = world.status_when(|status| slot(status, 0) == (true, true)).await;
    assert_eq!(slot(&status, 1), (false, false), "{status:#}");
    world.until("the end is told", |it| it["hotshoe"]["lastFailure"]["reason"].is_string()).await;
    world.order_update().await;
    world.assert_updated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_again_during_the_update_is_409_and_changes_nothing_also_after_a_restart() {
    let world = World::start(Setting::default()).await;
    world.files.hold_after(1024 * 1024);
    world.order_update().await;
    world.device.until_phase(Phase::Receiving).await;
    let jobs = world.status_when(|_| true).await["jobs"].clone();
    for delivery in 1..=5 {
        let (status, answer) = world.call("firmwareUpdate", world.order()).await;
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("laneTaken")), "{answer}");
        assert_eq!(answer["error"]["holder"], jobs[0]["id"]);
        if delivery == 2 {
            world.device.kill().await;
        }
    }
    world.files.release();
    world.assert_updated().await;
    assert_eq!(world.device.jobs().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_nobody_vouches_for_is_refused_by_the_default_policy() {
    let world = World::start(Setting { unsigned: "deny", ..Setting::default() }).await;
    world.order_update().await;
    let reported = world.until_status("failed").await;
    assert!(reported.to_string().contains("firmware.unsigned"), "{reported:#}");
    assert!(world.device.slot("b").iter().all(|byte| *byte == 0), "no byte was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_another_digest_is_never_booted() {
    let world = World::start(Setting::default()).await;
    let mut order = world.order();
    order["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let (status, _) = world.call("firmwareUpdate", order).await;
    assert_eq!(status, 200);
    world.until_status("failed").await;
    let reported = world.until("the job's end is told", |it| it["hotshoe"]["lastFailure"].is_object()).await;
    let reason = reported["hotshoe"]["lastFailure"]["reason"].as_str().unwrap();
    assert!(reason.contains(&world.digest()), "{reason}");
    let slots = world.status_when(|_| true).await["slots"].clone();
    assert!(slots.as_array().unwrap().iter().all(|slot| slot["trial"] == false), "{slots}");
    // The device is as ready as before.
    world.order_update().await;
    world.assert_updated().await;
}
