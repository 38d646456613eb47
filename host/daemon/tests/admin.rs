//! Plugins over the admin socket, the twin and direct methods: the real device, the real hub, the real `hotshoe`.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::{Value, json};
use support::{Setting, World};

const NAME: &str = "test.misbehaving";
const KEY: &str = "test/misbehaving";

async fn world(unsigned_plugins: &'static str) -> World {
    World::start(Setting { unsigned_plugins, plugins: vec!["test-guest"], ..Setting::default() }).await
}

fn version(number: &'static str) -> impl FnOnce(String) -> String {
    move |manifest| manifest.replace("version = \"0.1.0\"", &format!("version = \"{number}\""))
}

/// Runs `hotshoe plugin …` and expects it to do what it was asked.
async fn plugin(world: &World, arguments: &[&str]) -> String {
    let all = [&["plugin"], arguments].concat();
    let (exit, stdout, stderr) = world.device.exit_of_hotshoe(&all).await;
    assert_eq!(exit, 0, "{arguments:?}: {stdout}{stderr}");
    stdout
}

async fn install(world: &World, file: &Path) -> Value {
    let told = plugin(world, &["install", file.to_str().unwrap(), "--json"]).await;
    serde_json::from_str(told.lines().last().unwrap()).unwrap()
}

async fn until_told(world: &World, version: &str) -> Value {
    let told =
        world.until("the twin tells the version", |it| it["hotshoe"]["plugins"][KEY]["version"] == version);
    told.await["hotshoe"]["plugins"][KEY].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_installed_rolled_back_and_removed_while_the_hub_is_connected() {
    let world = world("allow").await;
    let next = world.device.version_of("test-guest", "next.wasm", version("0.2.0"));

    let told = plugin(&world, &["install", next.to_str().unwrap()]).await;
    for phase in ["received", "trusted", "compiled", "linked", "open jobs", "test.misbehaving 0.2.0 is live"]
    {
        assert!(told.contains(phase), "{phase} is missing in\n{told}");
    }
    assert_eq!(until_told(&world, "0.2.0").await["previous"], "0.1.0");
    assert_eq!(install(&world, &next).await["outcome"], "unchanged");

    let list = plugin(&world, &["list"]).await;
    assert!(list.starts_with("PLUGIN") && list.contains(NAME) && list.contains("unsigned"), "{list}");
    let shown = plugin(&world, &["show", NAME]).await;
    assert!(shown.contains("echo") && shown.contains("0.2.0"), "{shown}");

    assert_eq!(plugin(&world, &["rollback", NAME]).await, "test.misbehaving 0.1.0 is live again\n");
    until_told(&world, "0.1.0").await;
    assert_eq!(world.call("echo", json!(1)).await, (200, json!(1)));

    let third = world.device.version_of("test-guest", "third.wasm", version("0.3.0"));
    assert_eq!(install(&world, &third).await["outcome"], "live");
    let removed = plugin(&world, &["remove", NAME]).await;
    assert_eq!(removed, "removed; test.misbehaving 0.1.0 of the device's own image is live\n");
    until_told(&world, "0.1.0").await;
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&["plugin", "remove", NAME]).await;
    assert!(exit == 65 && stderr.contains("(factory)"), "{exit} {stderr}");
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&["plugin", "show", "acme.nothing"]).await;
    assert!(exit == 66 && stderr.contains("(unknownPlugin)"), "{exit} {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_asks_for_more_is_held_until_it_is_granted() {
    let setting = Setting { unsigned_plugins: "allow", plugins: vec!["diagnostics"], ..Setting::default() };
    let world = World::start(setting).await;
    let small = |manifest: String| manifest.replace("64KiB", "32KiB");
    let first = world.device.version_of("test-guest", "first.wasm", small);
    let wider = world.device.version_of("test-guest", "wider.wasm", version("0.2.0"));
    install(&world, &first).await;

    let told = install(&world, &wider).await;
    assert_eq!((&told["outcome"], &told["plugin"]["version"]), (&json!("held"), &json!("0.1.0")), "{told}");
    assert!(told["wants"][0].as_str().unwrap().contains("storage"), "{told}");
    let entry = world
        .until("the twin tells what is held", |it| it["hotshoe"]["plugins"][KEY]["held"].is_object())
        .await["hotshoe"]["plugins"][KEY]
        .clone();
    assert_eq!(entry["held"]["version"], "0.2.0", "{entry}");

    assert_eq!(plugin(&world, &["grant", NAME]).await, "test.misbehaving 0.2.0 is live\n");
    until_told(&world, "0.2.0").await;
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&["plugin", "grant", NAME]).await;
    assert!(exit == 65 && stderr.contains("(nothingHeld)"), "{exit} {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_the_old_one_serving_and_says_why() {
    let world = world("deny").await;
    let next = world.device.version_of("test-guest", "next.wasm", version("0.2.0"));
    let (exit, _, stderr) =
        world.device.exit_of_hotshoe(&["plugin", "install", next.to_str().unwrap()]).await;
    assert!(exit == 77 && stderr.contains("(untrusted)"), "{exit} {stderr}");
    assert!(stderr.contains("plugins.unsigned"), "{stderr}");

    let wrong = format!("sha256:{}", "0".repeat(64));
    let install = ["plugin", "install", next.to_str().unwrap(), "--digest", &wrong, "--json"];
    let (exit, _, stderr) = world.device.exit_of_hotshoe(&install).await;
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!((exit, &error["error"]["code"]), (65, &json!("digestMismatch")), "{stderr}");

    std::fs::write(&next, b"\0asm garbage").unwrap();
    let (exit, _, stderr) =
        world.device.exit_of_hotshoe(&["plugin", "install", next.to_str().unwrap()]).await;
    assert!(exit == 65 && stderr.contains("(notAPlugin)"), "{exit} {stderr}");

    assert_eq!(world.call("echo", json!("still")).await, (200, json!("still")));
    let list: Value = serde_json::from_str(&plugin(&world, &["list", "--json"]).await).unwrap();
    assert_eq!((&list[0]["version"], &list[0]["state"]), (&json!("0.1.0"), &json!("factory")), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_told_with_the_authors_functions_and_counted() {
    let world = world("deny").await;
    let (status, answer) = world.call("trap", json!(null)).await;
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(status == 500 && text.contains("test_guest::methods::trap"), "{answer}");
    world.call("logFlood", json!(200)).await;

    let lines = plugin(&world, &["logs", NAME, "--json"]).await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let host = lines.iter().find(|line| line["author"] == "host" && line["level"] == "warn").unwrap();
    assert!(host["message"].as_str().unwrap().contains("test_guest::methods::trap"), "{host}");
    assert!(lines.iter().any(|line| line["message"] == "a flood of lines"), "{lines:?}");

    let (exit, figures, _) = world.device.exit_of_hotshoe(&["metrics"]).await;
    assert_eq!(exit, 0);
    let of = |name: &str| {
        let labels = format!("hotshoe_plugin_{name}{{plugin=\"{NAME}\",version=\"0.1.0\"");
        let line = figures.lines().find(|line| line.starts_with(&labels) && !line.contains("\"check\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{name} is missing in\n{figures}"))
    };
    assert_eq!(of("traps_total"), 1.0);
    assert_eq!(of("calls_total"), 2.0);
    assert!(of("log_lines_dropped_total") > 0.0 && of("memory_peak_bytes") >= 65536.0);
    assert!(of("processor_seconds_total") > 0.0);
    assert!(figures.ends_with("# EOF\n"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_followed_as_they_are_written() {
    let world = world("deny").await;
    let client = client(&world);
    let url = format!("http://hotshoe/plugins/{NAME}/logs?follow=true");
    let mut following = client.get(url).send().await.unwrap();
    world.call("logFlood", json!(1)).await;
    support::within("the line comes", async {
        let mut text = Vec::new();
        while let Some(piece) = following.chunk().await.unwrap() {
            text.extend_from_slice(&piece);
            if String::from_utf8_lossy(&text).contains("a flood of lines") {
                return;
            }
        }
        panic!("the device ended the lines: {}", String::from_utf8_lossy(&text));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_the_hosts_own_and_what_it_does_not_know_is_refused() {
    let world = world("deny").await;
    let socket = std::fs::metadata(world.device.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o777, socket.uid()), (0o600, rustix::process::getuid().as_raw()));

    let client = client(&world);
    let metrics = client.get("http://hotshoe/metrics").send().await.unwrap();
    let kind = metrics.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let status: Value = client.get("http://hotshoe/status").send().await.unwrap().json().await.unwrap();
    assert_eq!(status["plugins"][0]["name"], NAME, "{status}");
    assert!(client.get("http://hotshoe/jobs").send().await.unwrap().status().is_success());

    let order = |body: &'static str| {
        client.post("http://hotshoe/plugins").header("content-type", "application/json").body(body)
    };
    for (request, status, code) in [
        (client.get("http://hotshoe/nothing"), 404, "unknownRequest"),
        (client.get("http://hotshoe/plugins/No%20Name"), 400, "invalidName"),
        (client.get("http://hotshoe/plugins/acme.nothing/logs"), 404, "unknownPlugin"),
        (client.post("http://hotshoe/plugins/acme.nothing/rollback"), 404, "unknownPlugin"),
        (order("{"), 400, "invalidOrder"),
        (order("{\"name\": \"a.b\", \"verzion\": \"1.0.0\"}"), 400, "invalidOrder"),
        (order("{\"name\": \"a.b\", \"directory\": \"relative\"}"), 404, "noDirectory"),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{code}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn desired_plugins_that_cannot_be_had_are_acknowledged_with_the_reason() {
    let world = world("allow").await;
    let entry = |value: Value| json!({ "hotshoe": { "plugins": { KEY: value } } });
    let acknowledged = async |version: &Value| {
        let told = world.until("it is acknowledged", |it| it["hotshoe"]["plugins"][KEY]["av"] == *version);
        told.await["hotshoe"]["plugins"][KEY].clone()
    };
    for (value, code) in [
        (json!({ "version": "0.2.0" }), 404),
        (json!({ "version": null, "verzion": "0.2.0" }), 400),
        (json!({ "verzion": null, "remove": true }), 200),
    ] {
        let desired = world.hub.desire("device-1", entry(value)).await;
        let version = desired["$version"].clone();
        acknowledged(&version).await;
        let told =
            world.until("its end is told", |it| it["hotshoe"]["plugins"][KEY]["ac"] == code).await["hotshoe"]
                ["plugins"][KEY]
                .clone();
        assert_eq!((&told["av"], &told["version"]), (&version, &json!("0.1.0")), "{told}");
    }
    world.hub.desire("device-1", entry(json!(null))).await;
    let told =
        world.until("nothing is acknowledged", |it| it["hotshoe"]["plugins"][KEY]["ac"].is_null()).await;
    assert_eq!(told["hotshoe"]["plugins"][KEY]["version"], "0.1.0", "{told}");

    let (status, answer) = world.call("hotshoe.plugins.install", json!({ "name": NAME })).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknownRepository")), "{answer}");
    let (status, answer) = world.call("hotshoe.plugins.install", json!({ "nome": NAME })).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalidPayload")), "{answer}");

    let next = world.device.version_of("test-guest", "next.wasm", version("0.2.0"));
    install(&world, &next).await;
    let (status, answer) = world.call("hotshoe.plugins.rollback", json!({ "name": NAME })).await;
    assert_eq!((status, &answer["plugin"]["version"]), (200, &json!("0.1.0")), "{answer}");
}

fn client(world: &World) -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    client.unix_socket(world.device.socket()).build().unwrap()
}
