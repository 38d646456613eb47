//! The device's key, and what is made of it: nowhere to be read but where it was put.
//!
//! The real host against the real hub with everything logged that there is, through an update, a refused credential and
//! a broken configuration; then all is searched that anybody gets to see of it.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;
use support::{Setting, World};

/// How tokens begin; one is as good as the key for as long as it lasts.
const TOKEN: &str = "SharedAccessSignature sr=";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_in_no_log_no_twin_no_answer_and_no_error() {
    let world = World::start(Setting { log: "trace", image: 200_000, ..Setting::default() }).await;
    let connection = fs::read_to_string(world.device.path("connection-string")).unwrap();
    let key = connection.split_once("SharedAccessKey=").unwrap().1.trim().to_owned();
    world.order_update().await;
    world.assert_updated().await;
    // What people ask for when something is wrong.
    let mut seen = Vec::new();
    for words in [
        &["plugin", "list", "--json"][..],
        &["plugin", "show", "hotshoe.diagnostics", "--json"],
        &["job", "list", "--json"],
        &["metrics"],
    ] {
        let (_, text) = world.device.try_hotshoe(words).await;
        seen.push((words.join(" "), text));
    }
    let (status, answer) = world.call("hotshoe.status", json!(null)).await;
    assert_eq!(status, 200);
    seen.push(("hotshoe.status".to_owned(), answer.to_string()));
    seen.push(("the twin".to_owned(), world.reported().await.to_string()));

    // A hub that takes the key no more.
    world.hub.ask(Method::DELETE, "/devices/device-1", None).await;
    support::until("the hub refuses it", || world.device.log().contains("the hub refused the credential"))
        .await;
    let log = world.device.log();
    assert!(log.contains("\"level\":\"TRACE\""), "everything is logged");
    seen.push(("the log".to_owned(), log));

    // Configurations that are wrong in and around the key.
    let half = &key[..key.len() / 2 - 1];
    for broken in [
        connection.replace(&key, half),
        connection.replace("SharedAccessKey=", "SharedAccesKey="),
        connection.replace("SharedAccessKey=", "SharedAccessKey"),
        format!("{connection};SharedAccessSignature={TOKEN}h&sig={key}&se=1"),
        format!("{key}={connection}"),
    ] {
        fs::write(world.device.path("connection-string"), broken).unwrap();
        seen.push(("an error".to_owned(), check(&world.device.path("device.toml"))));
    }
    for (place, text) in &seen {
        assert!(!text.is_empty(), "{place} says nothing");
        for secret in [key.as_str(), half, TOKEN, "SharedAccessSignature%20sr"] {
            if let Some(at) = text.find(secret) {
                let around = text[..at].chars().rev().take(300).collect::<Vec<_>>();
                panic!("{place} tells a secret after: {}", around.iter().rev().collect::<String>());
            }
        }
    }
    // The search finds what is there.
    assert!(connection.contains(&key) && connection.contains(half));
}

/// What the host says of a configuration that cannot be used.
fn check(config: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoed"));
    command.arg("--config").arg(config).arg("--check").env("HOTSHOE_LOG", "trace").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}
