//! Hot swap in the middle of an update: the new version takes the job over or leaves it to the old one, and either way
//! the update completes, no byte of the image is sent twice, and the hub session stays.
//!
//! The image has 16 MiB here; `HOTSHOE_SWAP_IMAGE_MIB=256` makes it as large as one likes.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{Phase, Setting, World, until, version_of};

const UPDATER: &str = "hotshoe.firmware-update";

/// What the version that comes does with the running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Adopts,
    Refuses,
}

/// Which of the two versions is the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

fn image_size() -> usize {
    let mib = std::env::var("HOTSHOE_SWAP_IMAGE_MIB").ok().and_then(|text| text.parse().ok());
    mib.unwrap_or(16_usize) << 20
}

/// A swap when so many percent of the image have come.
async fn swap_at(percent: u64, manner: Manner, direction: Direction) {
    let size = image_size();
    let world = World::start(Setting { image: size, ..Setting::default() }).await;
    let other = match manner {
        Manner::Adopts => version_of("firmware-update", "0.2.0", &world.path("0.2.0.wasm")),
        Manner::Refuses => version_of("firmware-update-next", "0.2.0", &world.path("0.2.0.wasm")),
    };
    let factory = version_of("firmware-update", "0.1.0", &world.path("0.1.0.wasm"));
    let (first, second) = match direction {
        Direction::Up => ("0.1.0", ("0.2.0", other)),
        Direction::Down => {
            world.device.hotshoe(&["plugin", "install", other.to_str().unwrap()]).await;
            ("0.2.0", ("0.1.0", factory))
        }
    };
    live(&world, first).await;

    let held = size as u64 * percent / 100;
    world.files.hold_after(held);
    world.order_update().await;
    world.device.until_phase(Phase::Receiving).await;
    until("that much of the image has come", || world.files.passed() >= held).await;
    world.device.hotshoe(&["plugin", "install", second.1.to_str().unwrap()]).await;
    live(&world, second.0).await;
    world.files.release();
    world.assert_updated().await;

    let status = world.status_when(|status| status["jobs"][0]["state"] == "done").await;
    let ran = match manner {
        Manner::Adopts => second.0,
        Manner::Refuses => first,
    };
    assert_eq!(status["jobs"][0]["version"], ran, "{percent} % {manner:?} {direction:?}: {status:#}");
    let sent: Vec<Value> = world.hub.images().await;
    let of_image: Vec<&Value> = sent.iter().filter(|answer| answer["path"] == "image").collect();
    let bytes: u64 = of_image.iter().map(|answer| answer["sent"].as_u64().unwrap()).sum();
    assert_eq!(bytes, size as u64, "{percent} % {manner:?} {direction:?}: {of_image:#?}");
    // Once at the start, once after the restart into the new image.
    assert_eq!(world.device.connections(), 2, "{percent} % {manner:?} {direction:?}");
}

async fn live(world: &World, version: &str) {
    let is = |status: &Value| {
        let plugins = status["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
        plugins.iter().any(|plugin| plugin["name"] == UPDATER && plugin["version"] == json!(version))
    };
    world.status_when(is).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_takes_an_update_over() {
    for percent in [10, 50, 90] {
        swap_at(percent, Manner::Adopts, Direction::Up).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_that_refuses_leaves_the_update_to_the_one_before() {
    for percent in [10, 50, 90] {
        swap_at(percent, Manner::Refuses, Direction::Up).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_takes_an_update_over() {
    for percent in [10, 50, 90] {
        swap_at(percent, Manner::Adopts, Direction::Down).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_that_refuses_leaves_the_update_to_the_one_before() {
    for percent in [10, 50, 90] {
        swap_at(percent, Manner::Refuses, Direction::Down).await;
    }
}
