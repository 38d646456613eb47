//! What one call may do to the device: nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hotshoe_core::method::Refusal;
use hotshoed::plugin::{Decision, INSTANCES, Reply};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::stage::{Stage, assert_well, call, guest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_is_answered() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    for payload in [json!(null), json!({"a": [1, "ü", null]}), json!("x".repeat(100_000))] {
        assert_eq!(call(&plugin, "echo", payload.clone()).await, (200, payload));
    }
    let unknown = plugin.call("nothing", Value::Null, "call-1").await.unwrap_err();
    assert_eq!(unknown, Refusal::UnknownMethod("nothing".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_misbehaves_costs_one_call() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_millis(300));
    let plugin = stage.test_guest().await;
    for (method, status, word) in [
        ("trap", 500, "unreachable"),
        ("spin", 504, "in time"),
        ("grow", 500, "trapped"),
        ("recurse", 500, "trapped"),
        ("notJson", 500, "is not JSON"),
        ("badKind", 500, "kind"),
        ("bigReply", 500, "limit"),
    ] {
        let (found, payload) = call(&plugin, method, Value::Null).await;
        let text = payload["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(found, status, "{method}: {payload}");
        assert!(text.contains(word), "{method}: {text}");
        assert_well(&plugin).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_lines_is_survived() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    assert_eq!(call(&plugin, "logFlood", json!(5000)).await.0, 200);
    assert_well(&plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_spin_do_not_keep_another_from_answering() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_secs(3600));
    let plugin = stage.test_guest().await;
    // More of them than threads. Each is stopped by its own second.
    let spinning: Vec<_> = (0..6)
        .map(|_| {
            let plugin = plugin.clone();
            tokio::spawn(async move { call(&plugin, "spin", Value::Null).await.0 })
        })
        .collect();
    assert_well(&plugin).await;
    for spin in spinning {
        assert_eq!(spin.await.unwrap(), 504);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait_their_turn() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    let calls: Vec<_> = (0..INSTANCES * 3)
        .map(|number| {
            let plugin = plugin.clone();
            tokio::spawn(async move { call(&plugin, "echo", json!(number)).await == (200, json!(number)) })
        })
        .collect();
    for answered in calls {
        assert!(answered.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_gives_its_instance_back() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_secs(3600));
    let plugin = stage.test_guest().await;
    for _ in 0..INSTANCES * 2 {
        let spin = plugin.call("spin", Value::Null, "call-1");
        assert!(tokio::time::timeout(Duration::from_millis(5), spin).await.is_err());
    }
    assert_well(&plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_announced_with_the_answer() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    let payload = json!({"kind": "later", "input": {"times": 2}, "lane": "test"});
    let Reply::Accepted { response, job } = plugin.call("startJob", payload, "call-1").await.unwrap() else {
        panic!("no job")
    };
    assert_eq!((response.status, response.payload), (200, json!("job announced")));
    assert_eq!(
        (job.kind.as_str(), job.lane.as_deref(), job.input),
        ("later", Some("test"), json!({"times": 2}))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_desired_properties_is_decided() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    assert_eq!(plugin.apply(1, json!({"a": 1})).await.unwrap(), Decision::Applied);
    let refused = plugin.apply(2, json!({"refuse": "not today"})).await.unwrap();
    assert_eq!(refused, Decision::Refused("not today".into()));
    let Decision::Started(job) = plugin.apply(3, json!({"job": "later"})).await.unwrap() else {
        panic!("no job")
    };
    assert_eq!(job.lane.as_deref(), Some("test"));
    assert!(matches!(plugin.apply(4, json!({"trap": true})).await, Err(Refusal::PluginFailed { .. })));
    assert_well(&plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_host_costs_one_call() {
    let stage = Stage::new();
    let plugin = stage.load(&guest("diagnostics")).await.unwrap();
    stage.broken.store(true, Ordering::Relaxed);
    let (status, answer) = call(&plugin, "deviceFacts", Value::Null).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.to_string().contains("the host failed"), "{answer}");
    stage.broken.store(false, Ordering::Relaxed);
    let (status, answer) = call(&plugin, "deviceFacts", Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.to_string().contains("device-1"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_how_they_ended() {
    let stage = Stage::new();
    let plugin = stage.test_guest().await;
    assert_well(&plugin).await;
    call(&plugin, "trap", Value::Null).await;
    call(&plugin, "spin", Value::Null).await;

    let mut registry = Registry::default();
    stage.engine.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let labels = "{plugin=\"test.misbehaving\",version=\"0.1.0\",call=\"method\"}";
    for line in [
        format!("hotshoe_plugin_calls_total{labels} 3"),
        format!("hotshoe_plugin_traps_total{labels} 1"),
        format!("hotshoe_plugin_timeouts_total{labels} 1"),
        "hotshoe_plugin_open 0".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}
