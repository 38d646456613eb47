//! A host that dies again and again: the real one, killed, and what its hub sees.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::{Setting, World};

/// How many starts the device may take in these tests.
const STARTS: usize = 4;

async fn world() -> World {
    let mut world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("starts = 1000"));
    std::fs::write(&config, text.replace("starts = 1000", &format!("starts = {STARTS}"))).unwrap();
    world.device.power_on();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_keeps_dying_ends_in_safe_mode_and_still_speaks_to_its_hub() {
    let world = world().await;
    for _ in 0..STARTS {
        world.device.kill().await;
    }
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
async fn a_restart_of_the_device_begins_anew() {
    let world = world().await;
    for _ in 0..STARTS {
        world.device.kill().await;
    }
    world.until("safe mode is told", |reported| reported["hotshoe"]["safeMode"]["reason"].is_string()).await;
    world.device.power_cut();
    world.until("safe mode is over", |reported| reported["hotshoe"]["safeMode"].is_null()).await;
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200);
}
