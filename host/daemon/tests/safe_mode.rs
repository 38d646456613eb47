//! A host that dies again and again: the real one, killed, and what its hub sees.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::{Setting, World, version_of};

/// How many starts the device may take in these tests.
const STARTS: usize = 4;

async fn world() -> World {
    world_with(Setting { plugins: vec!["diagnostics", "test-guest"], ..Setting::default() }).await
}

async fn world_with(setting: Setting) -> World {
    let mut world = World::start(setting).await;
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("starts = 1000"));
    std::fs::write(&config, text.replace("starts = 1000", &format!("starts = {STARTS}"))).unwrap();
    let connections = world.device.connections();
    world.device.power_on();
    support::until("it is up", || world.device.connections() > connections).await;
    world
}

/// Kills the host again and again, each time once it has come up.
async fn keep_dying(world: &World) {
    for _ in 0..STARTS {
        let connections = world.device.connections();
        world.device.kill().await;
        support::until("it is back", || world.device.connections() > connections).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_dying_ends_in_safe_mode_and_still_speaks_to_its_hub() {
    let world = world().await;
    keep_dying(&world).await;
    let reported = world
        .until("safe mode is told", |reported| reported["hotshoe"]["safeMode"]["reason"].is_string())
        .await;
    let reason = reported["hotshoe"]["safeMode"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&STARTS.to_string()), "{reason}");
    let status = world.status_when(|status| status["connected"] == true).await;
    assert_eq!(status["safeMode"]["reason"], json!(reason), "{status:#}");
    assert_eq!(status["plugins"], json!([]), "no plugin is mounted: {status:#}");
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 404);
    // It stays safe mode, also if it dies again.
    let connections = world.device.connections();
    world.device.kill().await;
    support::until("it is back", || world.device.connections() > connections).await;
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 404);

    let (status, answer) = world.call("hotshoe.safeMode.leave", json!({})).await;
    assert_eq!((status, answer), (200, json!({ "wasInSafeMode": true })));
    world.until("safe mode is over", |reported| reported["hotshoe"]["safeMode"].is_null()).await;
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_in_safe_mode_has_its_settings_and_goes_back_to_the_images() {
    let mut world = world().await;
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let settings = "\nsettings = { rate = 5 }\n";
    std::fs::write(&config, text.trim_end().to_owned() + settings).unwrap();
    let connections = world.device.connections();
    world.device.power_on();
    support::until("it is up", || world.device.connections() > connections).await;
    keep_dying(&world).await;
    let broken = |reported: &serde_json::Value| reported["hotshoe"]["broken"].as_array().map_or(0, Vec::len);
    world.until("both are left out", |reported| broken(reported) == 2).await;

    let next = version_of("test-guest", "0.2.0", &world.path("next.wasm"));
    world.device.hotshoe(&["plugin", "install", next.to_str().unwrap()]).await;
    assert_eq!(world.call("settings", json!(null)).await, (200, json!({ "rate": 5 })));
    world.until("one is left out", |reported| broken(reported) == 1).await;
    world.device.hotshoe(&["plugin", "remove", "test.misbehaving"]).await;
    let list = world.device.hotshoe(&["plugin", "list", "--json"]).await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let live = list.as_array().unwrap().iter().find(|plugin| plugin["name"] == "test.misbehaving").unwrap();
    assert_eq!(live["version"], "0.1.0", "{list:#}");
}

/// Init of an image that has broken something of the device's: at every other boot, a new image's, a file stands where
/// the host has a directory.
const BREAKS: &str = "\
    if [ \"$(cat boot-id)\" != \"$(cat seen)\" ]; then cp boot-id seen; [ -e bad ] && rm bad || touch bad; fi\n\
    if [ -e bad ] && [ ! -d away ]; then mv state/cache away; touch state/cache; fi\n\
    if [ ! -e bad ] && [ -d away ]; then rm state/cache; mv away state/cache; fi\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_image_whose_host_keeps_dying_ends_in_safe_mode_and_falls_back() {
    let world = world_with(Setting::default()).await;
    let start = world.device.path("start");
    let text = std::fs::read_to_string(&start).unwrap();
    std::fs::copy(world.device.path("boot-id"), world.device.path("seen")).unwrap();
    std::fs::write(&start, text.replacen("rm -f hung", &format!("{BREAKS}rm -f hung"), 1)).unwrap();
    world.order_update().await;
    // Nobody but the host itself does anything about it.
    let reported = world.until_status("rolledBack").await;
    assert!(reported["hotshoe"]["safeMode"].is_null(), "the old image is well: {reported:#}");
    let log = world.device.log();
    assert!(log.matches("safe mode: no plugin is mounted").count() >= 2, "once for each trial");
    let status = world.status_when(|status| status["jobs"][0]["state"] == "failed").await;
    let slot = status["slots"].as_array().unwrap().iter().find(|slot| slot["name"] == "a").unwrap();
    assert_eq!((&slot["running"], &slot["good"]), (&json!(true), &json!(true)), "{slot}");
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_device_begins_anew() {
    let world = world().await;
    keep_dying(&world).await;
    world.until("safe mode is told", |reported| reported["hotshoe"]["safeMode"]["reason"].is_string()).await;
    world.device.power_cut();
    world.until("safe mode is over", |reported| reported["hotshoe"]["safeMode"].is_null()).await;
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_under_which_it_dies_is_left_out_alone() {
    let world = world().await;
    // While plugins are mounted they are called as well, and a kill then is another story.
    let ready = || world.device.times_ready();
    support::until("it has come up", || ready() == 2).await;
    world.device.kill().await;
    let called = world.device.path("state/inside/test.misbehaving");
    for times in 3..=4 {
        support::until("it is back", || ready() == times).await;
        let spin = world.call("spin", json!(null));
        let kill = async {
            support::until("it is in the call", || called.exists()).await;
            world.device.kill().await;
        };
        tokio::select! {
            _ = spin => panic!("it was answered"),
            () = kill => {}
        }
    }
    let reported = world
        .until("it is told", |reported| {
            reported["hotshoe"]["broken"].as_array().is_some_and(|broken| broken.len() == 1)
        })
        .await;
    let reason = reported["hotshoe"]["broken"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("died each time"), "{reason}");
    let (status, _) = world.call("spin", json!(null)).await;
    assert_eq!(status, 404);
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200, "the others serve");
}
