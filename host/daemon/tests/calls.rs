//! Calls end to end: who answers, and what bad ones get.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::{Setting, World};

#[tokio::test(flavor = "multi_thread")]
async fn calls_find_their_answer_or_are_told_why_not() {
    let world =
        World::start(Setting { plugins: vec!["diagnostics", "test-guest"], ..Setting::default() }).await;

    let (status, answer) = world.call("hotshoe.ping", json!({ "a": [1, "ü"] })).await;
    assert_eq!((status, answer), (200, json!({ "echo": { "a": [1, "ü"] } })));
    let (status, answer) = world.call("ping", json!("hello")).await;
    assert_eq!((status, &answer["echo"]), (200, &json!("hello")));

    let (status, answer) = world.call("noSuchMethod", json!(null)).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknownMethod")), "{answer}");
    for (method, status, code) in
        [("trap", 500, "pluginFailed"), ("spin", 504, "timedOut"), ("notJson", 500, "pluginFailed")]
    {
        let (told, answer) = world.call(method, json!(null)).await;
        assert_eq!((told, &answer["error"]["code"]), (status, &json!(code)), "{method}: {answer}");
    }
    // The plugin answers the next call as if nothing had been.
    let (status, answer) = world.call("echo", json!(5)).await;
    assert_eq!((status, answer), (200, json!(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_plugin_that_hangs_keep_nobody_from_the_others_and_the_host() {
    let world =
        World::start(Setting { plugins: vec!["diagnostics", "test-guest"], ..Setting::default() }).await;
    // It waits for a server that says nothing.
    world.files.hold_after(0);
    let order = json!({ "url": world.url("image") });
    let hanging = (0..40).map(|_| world.hub.try_call_within(60, "device-1", "fetch", &order));
    let hanging = futures_util::future::join_all(hanging);
    let others = async {
        let figure = "hotshoe_hub_calls_total";
        world
            .status_when(|status| status["metrics"][figure].as_f64().is_some_and(|calls| calls > 40.0))
            .await;
        let (status, _) = world.call("ping", json!(1)).await;
        assert_eq!(status, 200);
        world.files.release();
    };
    let (ends, ()) = tokio::join!(hanging, others);
    let statuses: Vec<i64> = ends.into_iter().flatten().map(|(status, _)| status).collect();
    assert_eq!(statuses.len(), 40, "each was answered");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_an_operator_wants_to_know() {
    let world = World::start(Setting::default()).await;
    let status = world.status_when(|status| status["connected"] == true).await;
    let names: Vec<&str> =
        status["plugins"].as_array().unwrap().iter().map(|plugin| plugin["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["hotshoe.firmware-update", "hotshoe.diagnostics"], "{status:#}");
    assert_eq!(status["slots"][0]["running"], true, "{status:#}");
    assert!(status["metrics"]["hotshoe_hub_connects_total"].as_f64().unwrap() >= 1.0, "{status:#}");
    let reported = world.reported().await;
    assert_eq!(reported["hotshoe"]["plugins"]["hotshoe/firmware-update"]["state"], "factory", "{reported:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_plugin_is_told_and_the_others_serve() {
    let mut world = World::start(Setting { plugins: vec!["diagnostics"], ..Setting::default() }).await;
    world.device.power_off();
    let config = world.device.path("device.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(world.device.path("broken.wasm"), b"\0asm garbage").unwrap();
    let broken = "[[plugins]]\nfile = \"broken.wasm\"\n\n[[plugins]]\nfile = \"missing.wasm\"\n\n[[plugins]]";
    std::fs::write(&config, text.replacen("[[plugins]]", broken, 1)).unwrap();
    world.device.power_on();
    let reported = world
        .until("the broken plugins are told", |reported| {
            reported["hotshoe"]["broken"].as_array().is_some_and(|broken| broken.len() == 2)
        })
        .await;
    assert_eq!(reported["hotshoe"]["broken"][0]["file"], "broken.wasm", "{reported:#}");
    let (status, _) = world.call("ping", json!(1)).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn desired_properties_are_handed_to_their_plugin_and_acknowledged() {
    let world = World::start(Setting { plugins: vec!["test-guest"], ..Setting::default() }).await;
    let desired = world.hub.desire("device-1", json!({ "test": { "rate": 5 } })).await;
    let version = desired["$version"].clone();
    let reported =
        world.until("the change is acknowledged", |reported| reported["test"]["av"] == version).await;
    assert_eq!(reported["test"]["value"], json!({ "rate": 5 }), "{reported:#}");
    assert!(reported["test"]["ac"].is_i64(), "{reported:#}");
    assert_eq!(reported["test"]["ac"], 200, "{reported:#}");
    for (section, code, text) in [
        (json!({ "rate": null, "refuse": "not today" }), 400, "not today"),
        (json!({ "refuse": null, "trap": true }), 500, "failed"),
    ] {
        let desired = world.hub.desire("device-1", json!({ "test": section })).await;
        let version = desired["$version"].clone();
        let reported = world.until("it is acknowledged", |reported| reported["test"]["av"] == version).await;
        assert_eq!(reported["test"]["ac"], code, "{reported:#}");
        assert!(reported["test"]["ad"].as_str().unwrap().contains(text), "{reported:#}");
    }
    world.hub.desire("device-1", json!({ "test": { "trap": null, "job": "later" } })).await;
    let reported = world.until("its job is accepted", |reported| reported["test"]["ac"] == 202).await;
    assert_eq!(
        reported["test"]["value"],
        json!({ "job": "later" }),
        "nothing of earlier ones is left: {reported:#}"
    );
    world.status_when(|status| status["jobs"][0]["state"] == "done").await;
    world.hub.desire("device-1", json!({ "test": "no object" })).await;
    let reported = world
        .until("what is no object is refused", |reported| reported["test"]["value"] == "no object")
        .await;
    assert_eq!(reported["test"]["ac"], 400, "{reported:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_that_was_made_anew_gets_its_own_acknowledgements() {
    let world = World::start(Setting { plugins: vec!["test-guest"], ..Setting::default() }).await;
    let connection = std::fs::read_to_string(world.device.path("connection-string")).unwrap();
    let key = connection.split("SharedAccessKey=").nth(1).unwrap();
    let identity = json!({
        "deviceId": "device-1",
        "authentication": { "type": "sas", "symmetricKey": { "primaryKey": key, "secondaryKey": key } },
    });
    let mut versions = std::collections::BTreeSet::new();
    // Each twin is changed once, so that all of them have the same version; the last one says what it said before.
    for (number, rate) in [1, 2, 2].into_iter().enumerate() {
        if number > 0 {
            world.link.open(false);
            world.link.cut();
            world.hub.ask(reqwest::Method::DELETE, "/devices/device-1", None).await;
            world.hub.ask(reqwest::Method::PUT, "/devices/device-1", Some(&identity)).await;
        }
        let wrong = json!({ "plugins": { "test/misbehaving": {} } });
        let desired =
            world.hub.desire("device-1", json!({ "test": { "rate": rate }, "hotshoe": wrong })).await;
        world.link.open(true);
        let version = &desired["$version"];
        world
            .until("both are acknowledged", |reported| {
                let entry = &reported["hotshoe"]["plugins"]["test/misbehaving"];
                reported["test"]["value"] == json!({ "rate": rate })
                    && (&reported["test"]["av"], &reported["test"]["ac"]) == (version, &json!(200))
                    && (&entry["av"], &entry["ac"]) == (version, &json!(400))
            })
            .await;
        versions.insert(version.to_string());
    }
    assert_eq!(versions.len(), 1, "{versions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_for_which_the_twin_had_no_room_is_told_when_there_is() {
    let world = World::start(Setting { plugins: vec!["test-guest"], ..Setting::default() }).await;
    let fill = json!({ "test": { "a": "x".repeat(3900), "b": "x".repeat(3900) } });
    let (status, answer) = world.call("report", fill).await;
    assert_eq!(status, 200, "{answer}");
    // Each is refused, with itself in its acknowledgement: 28 KiB of the twin's 32.
    let keys: Vec<String> = (0..7).map(|number| format!("acme/pump{number}")).collect();
    let wrong: serde_json::Map<_, _> =
        keys.iter().map(|key| (key.clone(), json!({ "wrong": "x".repeat(3800) }))).collect();
    world.hub.desire("device-1", json!({ "hotshoe": { "plugins": wrong } })).await;
    support::until("they find no room", || {
        world.device.log().contains("an acknowledgement was not reported")
    })
    .await;
    let (status, answer) = world.call("report", json!({ "test": null })).await;
    assert_eq!(status, 200, "{answer}");
    world
        .until("all are told", |reported| {
            keys.iter().all(|key| reported["hotshoe"]["plugins"][key.as_str()]["ac"] == 400)
        })
        .await;
}
