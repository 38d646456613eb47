//! The way back to the version before: what is in its way passes, and it is still there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotshoe_core::swap::Settings;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::rig::{Made, Rig, Setting, version};
use super::stage::call;
use super::starting::Moody;

/// A device on which 1.0.0 has proved itself, and nothing else.
async fn rig() -> Rig {
    let machine = Settings { probation_calls: 1, ..Settings::default() };
    let rig = Rig::with(Setting { machine, ..Setting::default() }).await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.assert_live("1.0.0").await;
    rig.until_state("settled").await;
    rig
}

fn previous(rig: &Rig) -> Option<String> {
    rig.summary().previous.map(|version| version.to_string())
}

/// How many calls are in a guest.
fn open(rig: &Rig) -> u64 {
    let (mut registry, mut text) = (Registry::default(), String::new());
    rig.stage.engine.metrics().register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let open = text.lines().find_map(|line| line.strip_prefix("hotshoe_plugin_open "));
    open.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_calls_all_hang_can_be_rolled_back() {
    let rig = rig().await;
    let patient = ("name = \"spin\"\ntimeout = \"1s\"", "name = \"spin\"\ntimeout = \"60s\"");
    rig.install(&Made { manifest: vec![patient], ..version("1.1.0") }).await.unwrap();
    rig.assert_live("1.1.0").await;
    rig.until_state("settled").await;
    let plugin = rig.plugins.routes().lookup("spin").unwrap();
    let mut hung = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let plugin = plugin.clone();
        hung.spawn(async move { call(&plugin, "spin", Value::Null).await });
    }
    while open(&rig) < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.plugins.rollback(&rig.summary().name).await.unwrap();
    assert_eq!(rig.summary().version.unwrap().to_string(), "1.0.0");
    hung.shutdown().await;
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_be_had_now_can_be_gone_back_to_later() {
    let rig = rig().await;
    let name = rig.summary().name;
    rig.install(&version("1.1.0")).await.unwrap();
    rig.assert_live("1.1.0").await;
    rig.until_state("settled").await;
    let (cache, moody) = (tempfile::tempdir().unwrap(), Arc::new(Moody::new(0)));
    let compiler = Some(Arc::clone(&moody) as _);
    let setting = Setting { cache: cache.path().to_owned(), compiler, ..rig.setting() };
    let rig = rig.restarted_with(setting).await;

    moody.refusals.store(u32::MAX, Ordering::Relaxed);
    let error = rig.plugins.rollback(&name).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.is_transient()), ("busy", 503, true), "{error}");
    rig.assert_live("1.1.0").await;
    assert_eq!(previous(&rig).as_deref(), Some("1.0.0"));
    moody.refusals.store(1, Ordering::Relaxed);
    rig.plugins.rollback(&name).await.unwrap();
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_fails_rests_where_the_one_before_cannot_be_had_now() {
    let traps = Made { trap_at: 1, ..version("1.1.0") };
    // A device that has compiled this one, and nothing else.
    let cache = tempfile::tempdir().unwrap();
    let other = Rig::with(Setting { cache: cache.path().to_owned(), ..Setting::default() }).await;
    other.install(&traps).await.unwrap();

    let rig = rig().await;
    let name = rig.summary().name;
    rig.install(&traps).await.unwrap();
    let moody = Arc::new(Moody::new(u32::MAX));
    let compiler = Some(Arc::clone(&moody) as _);
    let setting = Setting { cache: cache.path().to_owned(), compiler, ..rig.setting() };
    let rig = rig.restarted_with(setting).await;
    assert_eq!(rig.state(), "probation");
    assert_eq!(rig.ask().await.0, 500);
    assert_eq!((rig.state().as_str(), previous(&rig).as_deref()), ("quarantined", Some("1.0.0")));
    moody.refusals.store(0, Ordering::Relaxed);
    rig.plugins.rollback(&name).await.unwrap();
    rig.assert_live("1.0.0").await;
}
