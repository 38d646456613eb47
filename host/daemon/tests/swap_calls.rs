//! Hot swap under calls that come the whole way: REST, hub, MQTT, device.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::{Setting, World, until, version_of};

const SWAPS: usize = 100;
const CALLERS: u64 = 4;

/// Calls until it is told to stop; how many answers came. Each must come, and be the call's own.
async fn call(world: &World, caller: u64, stop: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let payload = json!([caller, answered]);
        let answer = world.hub.try_call("device-1", "ping", &payload).await;
        let (status, body) = answer.unwrap_or_else(|| panic!("the call {payload} was lost"));
        assert_eq!((status, &body["echo"]), (200, &payload), "{body}");
        answered += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_lose_no_call() {
    let world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    let versions: Vec<String> = ["0.2.0", "0.3.0"]
        .iter()
        .map(|version| version_of("diagnostics", version, &world.path(&format!("{version}.wasm"))))
        .map(|file| file.to_str().unwrap().to_owned())
        .collect();
    let stop = AtomicBool::new(false);
    let swapping = async {
        for round in 0..SWAPS {
            world.device.hotshoe(&["plugin", "install", &versions[round % 2]]).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let calling = futures_util::future::join_all((0..CALLERS).map(|caller| call(&world, caller, &stop)));
    let ((), answered) = tokio::join!(swapping, calling);
    let calls: u64 = answered.iter().sum();
    println!("{calls} calls during {SWAPS} swaps");
    assert!(calls > SWAPS as u64, "{calls} calls during {SWAPS} swaps");
    assert_eq!(world.device.connections(), 1, "the hub session stayed");
    let listed: Value =
        serde_json::from_str(&world.device.hotshoe(&["plugin", "list", "--json"]).await).unwrap();
    assert_eq!(listed[0]["version"], "0.3.0", "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_a_bug_is_rolled_back_and_the_next_caller_gets_the_old_ones_answer() {
    let world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    let bad = version_of("diagnostics-bug", "0.2.0", &world.path("bad.wasm"));
    world.device.hotshoe(&["plugin", "install", bad.to_str().unwrap()]).await;
    for number in 1..3 {
        let (status, body) = world.call("ping", json!(number)).await;
        assert_eq!((status, &body["echo"]), (200, &json!(number)), "{body}");
    }
    let (status, body) = world.call("ping", json!(3)).await;
    assert_eq!((status, &body["error"]["code"]), (500, &json!("pluginFailed")), "{body}");
    let (status, body) = world.call("ping", json!(3)).await;
    assert_eq!((status, &body["echo"]), (200, &json!(3)), "{body}");

    let reported = world
        .until("the roll-back is told", |reported| {
            reported["hotshoe"]["plugins"]["hotshoe/diagnostics"]["version"] == "0.1.0"
        })
        .await;
    let trouble = reported["hotshoe"]["plugins"]["hotshoe/diagnostics"]["trouble"].to_string();
    assert!(trouble.contains("0.2.0"), "{reported:#}");
    let logs = world.device.hotshoe(&["plugin", "logs", "hotshoe.diagnostics"]).await;
    assert!(logs.contains("word_for"), "the trap names the function of the author's source: {logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_an_install_the_device_and_its_twin_say_the_same_afterwards() {
    let world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    let mut versions = ["0.2.0", "0.3.0"].iter().cycle();
    for phase in ["received", "trusted", "compiled", "linked", "live", "is live"] {
        let version = versions.next().unwrap();
        let file = version_of("diagnostics", version, &world.path(&format!("{version}.wasm")));
        world.device.hotshoe_until(&["plugin", "install", file.to_str().unwrap()], phase).await;
        let connections = world.device.connections();
        world.device.kill().await;
        until("the host is back at the hub", || world.device.connections() > connections).await;
        let status = world.status_when(|status| status["plugins"][0]["version"].is_string()).await;
        let live = status["plugins"][0]["version"].clone();
        assert!(["0.1.0", "0.2.0", "0.3.0"].iter().any(|known| live == *known), "{status:#}");
        world
            .until("the twin says what the device says", |reported| {
                reported["hotshoe"]["plugins"]["hotshoe/diagnostics"]["version"] == live
            })
            .await;
        let (status, body) = world.call("ping", json!(phase)).await;
        assert_eq!((status, &body["echo"]), (200, &json!(phase)), "{body}");
    }
}
