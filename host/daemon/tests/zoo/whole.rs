//! The whole way: a hostile plugin on a real device, called through a real hub, beside one that answers pings.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::support::{Setting, World, plugin};

/// Calls the neighbour until it is told to stop; how many answers came. Each must come.
async fn pings(world: &World, stop: &AtomicBool) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let payload = json!(answered);
        let answer = world.hub.try_call("device-1", "ping", &payload).await;
        let (status, body) = answer.unwrap_or_else(|| panic!("the ping {answered} was lost"));
        assert_eq!((status, &body["echo"]), (200, &payload), "{body}");
        answered += 1;
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_plugin_harms_neither_the_device_nor_its_neighbour() {
    let world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    world.device.hotshoe(&["plugin", "install", plugin("zoo").to_str().unwrap()]).await;
    let (host, running) = (world.device.host().await, world.device.slot("a"));
    let stop = AtomicBool::new(false);
    let foreign = json!([
        { "call": "report.patch", "text": "{\"iothubDM\": {\"reboot\": {\"status\": \"forged\"}}}" },
        { "call": "report.patch", "text": "{\"hotshoe\": null}" },
    ]);
    let attacking = async {
        // It behaves until it has proved itself.
        for _ in 0..25 {
            let (status, body) = world.call("outside", Value::Null).await;
            assert_eq!((status, &body["opened"]), (200, &json!(0)), "{body}");
        }
        for (method, payload, wanted) in [
            ("try", json!([{ "call": "log.write", "text": "a flood\nERROR forged", "times": 2000 }]), 200),
            ("try", foreign, 200),
            ("try", json!([{ "call": "telemetry.send", "text": "{}", "times": 300 }]), 200),
            ("storm", json!({ "call": "storage.set", "key": "k", "text": "v", "milliseconds": 1000 }), 200),
            ("askForEver", json!({ "call": "device.facts" }), 504),
            ("sleep", Value::Null, 504),
            ("hoard", Value::Null, 500),
            ("answer", json!({ "depth": 100_000 }), 500),
            ("panic", json!(1_000_000), 500),
            ("exit", json!(1), 500),
            // By now it has been stopped too often.
            ("outside", Value::Null, 503),
            ("hoard", Value::Null, 503),
        ] {
            let (status, body) = world.call(method, payload).await;
            assert_eq!(status, wanted, "{method}: {body}");
        }
        stop.store(true, Ordering::Relaxed);
    };
    let ((), answered) = tokio::join!(attacking, pings(&world, &stop));
    println!("{answered} pings were answered meanwhile");
    assert!(answered > 20, "{answered}");

    assert_eq!(world.device.host().await, host, "the host lives");
    assert_eq!(world.device.connections(), 1, "the hub session stayed");
    assert_eq!(world.device.slot("a"), running, "the running slot is as it was");
    let reported = world.reported().await;
    assert!(reported["hotshoe"]["version"].is_string(), "{reported:#}");
    assert_ne!(reported["iothubDM"]["reboot"]["status"], "forged", "{reported:#}");
    let log = world.device.log();
    for words in ["report.patch was refused", "telemetry.send was refused", "quarantine"] {
        assert!(log.contains(words), "the log does not tell of {words:?}");
    }
    let logs = world.device.hotshoe(&["plugin", "logs", "zoo.abuser"]).await;
    assert!(logs.contains("its reported properties") && logs.contains("quarantined"), "{logs:.3000}");
}
