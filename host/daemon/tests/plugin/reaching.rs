//! What a guest reaches through its capabilities, and what it does not.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::stage::{Stage, assert_well, call};

#[tokio::test]
async fn a_plugin_reports_what_it_owns_and_nothing_else() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    let outbox = &stage.services.outbox;

    assert_eq!(call(&plugin, "report", json!({"test": {"a": 1}, "nested": {"mine": 2}})).await.0, 200);
    let reported = json!({"test": {"a": 1}, "nested": {"mine": 2}});
    assert_eq!(outbox.reported(), reported);
    for (method, payload, word) in [
        ("reportForeign", Value::Null, "firmwareStatus"),
        ("report", json!({"test": 1, "nested": {"yours": 2}}), "nested.yours"),
        ("report", json!({"nested": null}), "nested"),
        ("report", json!({"hotshoe": {"jobs": null}}), "hotshoe"),
        ("reportHuge", Value::Null, "8192"),
        ("reportNotJson", Value::Null, "JSON"),
        ("report", json!([1]), "object"),
    ] {
        // The guest tells what its host answered.
        let text = call(&plugin, method, payload).await.1.to_string();
        assert!(text.contains(word) && !text.contains("\"reported\""), "{method}: {text}");
        assert_eq!(outbox.reported(), reported, "{method}");
    }
}

#[tokio::test]
async fn a_store_ends_at_its_quota_and_outlives_the_process() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    let (status, answer) = call(&plugin, "storageFill", json!(128 * 1024)).await;
    assert!(status == 500 && answer.to_string().contains("65536"), "{answer}");

    let stage = stage.restarted(|_| {});
    let plugin = stage.test_guest().await;
    // Writing the same keys again takes no more room.
    let (status, answer) = call(&plugin, "storageFill", json!(4 * 1024)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["keys"].as_u64().unwrap() > 50, "{answer}");
}

#[tokio::test]
async fn a_plugin_sees_the_slots() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    let (status, slots) = call(&plugin, "slots", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(slots[0], json!({"name": "a", "size": 4096, "running": true, "good": true}));
    assert_eq!(slots[1]["running"], json!(false));
    assert_eq!(call(&plugin, "desired", Value::Null).await, (200, Value::Null));
}

#[tokio::test]
async fn what_may_not_be_fetched_is_told_why() {
    let stage = Stage::new();
    stage.test_guest().await;
    let policy = super::stage::ALL.replace("https://*:*/", "https://images.example.com/");
    let plugin = stage.load_with(&super::stage::guest("test-guest"), &policy).await.unwrap();
    for (url, word) in [
        ("https://elsewhere.example.com/x", "granted for: https://images.example.com/"),
        ("http://images.example.com/x", "https"),
        ("nonsense", "URL"),
    ] {
        let (status, answer) = call(&plugin, "fetch", json!({"url": url})).await;
        assert!(status == 500 && answer.to_string().contains(word), "{url}: {answer}");
    }
    let bad = json!({"url": "https://images.example.com/x", "digest": "md5:1"});
    assert!(call(&plugin, "fetch", bad).await.1.to_string().contains("digest"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_host_is_not_computing() {
    // A server that says nothing: the host waits 600 ms for it, six times as long as the guest may compute.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/x", silent.local_addr().unwrap().port());
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_millis(100));
    let plugin = stage.test_guest().await;
    let (status, answer) = call(&plugin, "fetch", json!({"url": url})).await;
    assert_eq!(status, 500, "the guest itself tells what became of it: {answer}");
    assert!(!answer.to_string().contains("trapped"), "{answer}");
    assert_well(&plugin).await;
}
