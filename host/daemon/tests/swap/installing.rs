//! What comes in, what is held, what is refused; and that a refusal changes nothing.

use std::sync::Mutex;

use hotshoe_core::swap::{Demand, Origin, Phase};
use hotshoed::swap::{Candidate, InstallError, Installed};
use serde_json::json;

use super::rig::{Made, OPEN, Rig, Setting, version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_takes_over_step_by_step_and_the_call_under_way_keeps_its_own() {
    let rig = Rig::new().await;
    assert!(rig.plugins.list().is_empty());
    rig.install(&version("1.0.0")).await.unwrap();
    rig.assert_live("1.0.0").await;
    let before = rig.plugins.routes().lookup("version").unwrap();

    let phases = Mutex::new(Vec::new());
    let installed =
        rig.plugins.install(version("1.1.0").candidate(), &|phase| phases.lock().unwrap().push(phase)).await;
    let Ok(Installed::Live(summary)) = installed else { panic!("{installed:?}") };
    assert_eq!(
        *phases.lock().unwrap(),
        [Phase::Received, Phase::Trusted, Phase::Compiled, Phase::Linked, Phase::Adopting, Phase::Live]
    );
    assert_eq!(
        (summary.state.as_str(), summary.previous.unwrap().to_string()),
        ("probation", "1.0.0".into())
    );
    rig.assert_live("1.1.0").await;
    let (status, payload) = super::stage::call(&before, "version", json!(7)).await;
    assert_eq!((status, payload), (200, json!({ "version": "1.0.0", "payload": 7 })));

    let again = rig.install(&version("1.1.0")).await.unwrap();
    assert!(matches!(again, Installed::Unchanged(_)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enough_calls_settle_it_and_then_nothing_older_comes_in() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    rig.install(&version("1.1.0")).await.unwrap();
    for _ in 0..20 {
        rig.assert_live("1.1.0").await;
    }
    rig.until_state("settled").await;
    assert_eq!(rig.summary().floor.unwrap().to_string(), "1.1.0");
    let error = rig.install(&version("1.0.0")).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("belowFloor", 409));
    rig.assert_live("1.1.0").await;
    // The operator's way back stays open.
    assert_eq!(
        rig.plugins.rollback(&rig.summary().name).await.unwrap().version.unwrap().to_string(),
        "1.0.0"
    );
    rig.assert_live("1.0.0").await;
    let desired = Candidate { demand: Demand::Desired, ..version("1.1.0").candidate() };
    let error = rig.plugins.install(desired, &|_| {}).await.unwrap_err();
    assert_eq!(error.code(), "rolledBackBefore");
    let error = rig.plugins.rollback(&rig.summary().name).await.unwrap_err();
    assert_eq!(error.code(), "nothingToRollBackTo");
    rig.install(&version("1.1.0")).await.unwrap();
    rig.assert_live("1.1.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_for_more_waits_for_a_grant_also_over_a_restart() {
    let rig = Rig::new().await;
    let modest = Made { manifest: vec![("telemetry = true", "telemetry = false")], ..Made::default() };
    rig.install(&modest).await.unwrap();
    let held = rig.install(&version("1.1.0")).await.unwrap();
    let Installed::Held(summary, wants) = held else { panic!("{held:?}") };
    assert_eq!((summary.state.as_str(), wants), ("probation", vec!["telemetry".to_owned()]));
    rig.assert_live("1.0.0").await;

    let rig = rig.restarted().await;
    rig.assert_live("1.0.0").await;
    let name = rig.summary().name;
    assert_eq!(rig.summary().held.unwrap().version.to_string(), "1.1.0");
    let granted = rig.plugins.grant(&name).await.unwrap();
    assert!(matches!(granted, Installed::Live(_)), "{granted:?}");
    rig.assert_live("1.1.0").await;
    assert!(rig.plugins.show(&name).unwrap().grants.contains(&"telemetry".to_owned()));
    assert_eq!(rig.plugins.grant(&name).await.unwrap_err().code(), "nothingHeld");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_candidate_leaves_everything_as_it_was() {
    let thief = Made { name: "test.thief", ..version("9.0.0") };
    let policy = OPEN.to_owned();
    let rig = Rig::with(Setting { policy, ..Setting::default() }).await;
    rig.install(&version("1.0.0")).await.unwrap();
    let before = rig.plugins.list();

    let refused = |candidate: Candidate| async {
        let error = rig.plugins.install(candidate, &|_| {}).await.unwrap_err();
        assert_eq!(rig.plugins.list(), before, "{error}");
        rig.assert_live("1.0.0").await;
        error
    };
    let error = refused(thief.candidate()).await;
    assert!(
        error.to_string().starts_with("test.thief claims the method echo, which is test.swapped's"),
        "{error}"
    );
    let other = "test.other".parse().unwrap();
    let error = refused(Candidate { expected: Some((other, None)), ..version("2.0.0").candidate() }).await;
    assert_eq!(error.to_string(), "the file holds test.swapped 2.0.0, and test.other was asked for");
    let this = "test.swapped".parse().unwrap();
    let wanted = Some("2.0.1".parse().unwrap());
    let error = refused(Candidate { expected: Some((this, wanted)), ..version("2.0.0").candidate() }).await;
    assert!(matches!(error, InstallError::NotExpected { .. }), "{error}");
    let error = refused(Candidate::new(b"\x7fELF".to_vec().into(), Origin::Unsigned)).await;
    assert_eq!(error.code(), "notAPlugin");
    let mut damaged = version("2.0.0").component();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let error = refused(Candidate::new(damaged.into(), Origin::Unsigned)).await;
    assert!(matches!(error, InstallError::Compile(_) | InstallError::NotAPlugin(_)), "{error}");
    let quiet = Made { manifest: vec![("flash = true", "flash = false")], ..version("2.0.0") };
    let error = refused(quiet.candidate()).await;
    assert_eq!(error.code(), "denied", "{error}");
}

#[tokio::test]
async fn who_is_not_trusted_is_not_even_compiled() {
    for (policy, origin, code) in [
        ("", Origin::Unsigned, "untrusted"),
        ("", Origin::Digest, "untrusted"),
        ("[plugins]\nunsigned = \"digest\"\n", Origin::Unsigned, "untrusted"),
        ("[plugins]\nunsigned = \"allow\"\n", Origin::Factory { file: "x.wasm".into() }, "untrusted"),
        // Trusted, and then the policy grants it nothing.
        ("[plugins]\nunsigned = \"digest\"\n", Origin::Digest, "denied"),
    ] {
        let rig = Rig::with(Setting { policy: policy.to_owned(), ..Setting::default() }).await;
        let candidate = Candidate::new(version("1.0.0").component().into(), origin);
        assert_eq!(rig.plugins.install(candidate, &|_| {}).await.unwrap_err().code(), code);
        assert!(rig.plugins.list().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_is_gone_and_its_method_is_free() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    let name = rig.summary().name;
    rig.plugins.remove(&name).await.unwrap();
    assert!(rig.plugins.list().is_empty());
    assert_eq!(rig.ask().await.0, 404);
    assert_eq!(rig.plugins.remove(&name).await.unwrap_err().code(), "unknownPlugin");
    let shelf = std::fs::read_dir(rig.stage.directory.path().join("shelf")).unwrap();
    assert_eq!(shelf.count(), 0, "nothing of it stays on the disk");
    rig.install(&Made { name: "test.heir", ..version("1.0.0") }).await.unwrap();
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_share_one_store() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    let fill = rig.plugins.routes().lookup("storageFill").unwrap();
    assert_eq!(super::stage::call(&fill, "storageFill", json!(3000)).await, (200, json!({ "keys": 3 })));
    rig.install(&version("1.1.0")).await.unwrap();
    let fill = rig.plugins.routes().lookup("storageFill").unwrap();
    assert_eq!(super::stage::call(&fill, "storageFill", json!(1)).await, (200, json!({ "keys": 3 })));
}
