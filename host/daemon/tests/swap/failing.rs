//! Versions that fail after they went live.

use std::time::Duration;

use hotshoe_core::swap::{Demand, Settings};
use hotshoed::swap::Candidate;

use super::rig::{Made, Rig, Setting, version};

fn traps_at(call: u32) -> Made {
    Made { trap_at: call, ..version("1.1.0") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_traps_on_its_third_call_is_gone_when_its_caller_is_told() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.install(&traps_at(3)).await.unwrap();
    rig.assert_live("1.1.0").await;
    rig.assert_live("1.1.0").await;
    let (status, payload) = rig.ask().await;
    assert_eq!((status, payload["error"]["code"].as_str()), (500, Some("pluginFailed")));
    // Not a moment later: the very next call.
    rig.assert_live("1.0.0").await;
    let summary = rig.summary();
    assert_eq!(summary.state, "settled");
    let trouble = summary.trouble.unwrap();
    assert!(trouble.starts_with("version 1.1.0 was rolled back to 1.0.0: it trapped"), "{trouble}");

    let rig = rig.restarted().await;
    rig.assert_live("1.0.0").await;
    let desired = Candidate { demand: Demand::Desired, ..traps_at(3).candidate() };
    let error = rig.plugins.install(desired, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "rolledBackBefore");
    assert_eq!(rig.plugins.show(&summary.name).unwrap().bad.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_rolled_back_after_a_restart_too() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.install(&traps_at(1)).await.unwrap();
    let rig = rig.restarted().await;
    assert_eq!(rig.state(), "probation");
    assert_eq!(rig.ask().await.0, 500);
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_is_a_strike_and_a_returned_error_is_none() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.install(&version("1.1.0")).await.unwrap();
    let plugin = rig.plugins.routes().lookup("notJson").unwrap();
    for method in ["notJson", "badKind", "reportForeign"] {
        let (status, _) = super::stage::call(&plugin, method, serde_json::Value::Null).await;
        assert_eq!(status, 500, "{method}");
    }
    rig.assert_live("1.1.0").await;
    assert_eq!(super::stage::call(&plugin, "spin", serde_json::Value::Null).await.0, 504);
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_version_that_fails_too_often_rests_and_is_tried_again() {
    let machine = Settings {
        probation_calls: 2,
        strikes: 2,
        quarantine: Duration::from_millis(300),
        ..Settings::default()
    };
    let rig = Rig::with(Setting { machine, ..Setting::default() }).await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.assert_live("1.0.0").await;
    rig.assert_live("1.0.0").await;
    rig.until_state("settled").await;
    let plugin = rig.plugins.routes().lookup("trap").unwrap();
    let trap = || super::stage::call(&plugin, "trap", serde_json::Value::Null);
    assert_eq!(trap().await.0, 500);
    assert_eq!(rig.state(), "settled");
    rig.assert_live("1.0.0").await;
    assert_eq!(trap().await.0, 500);
    let (status, payload) = rig.ask().await;
    assert_eq!((status, payload["error"]["code"].as_str()), (503, Some("quarantined")));
    let message = payload["error"]["message"].as_str().unwrap();
    assert!(message.contains("version 1.0.0 failed too often; the last: it trapped"), "{message}");
    assert_eq!(rig.summary().trouble.as_deref().map(|text| message.contains(text)), Some(true));

    rig.until_state("probation").await;
    rig.assert_live("1.0.0").await;
    rig.assert_live("1.0.0").await;
    rig.until_state("settled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarantine_outlasts_a_restart_and_another_version_ends_it() {
    let rig = Rig::new().await;
    // The first of all: there is nothing to go back to.
    rig.install(&traps_at(1)).await.unwrap();
    assert_eq!(rig.ask().await.0, 500);
    assert_eq!(rig.ask().await.0, 503);
    let rig = rig.restarted().await;
    assert_eq!((rig.ask().await.0, rig.state().as_str()), (503, "quarantined"));
    rig.install(&version("1.2.0")).await.unwrap();
    rig.assert_live("1.2.0").await;
}
