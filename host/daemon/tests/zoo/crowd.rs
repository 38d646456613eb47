//! Many at once: plugins that spin, that hold all the places they can get, and that trap again and again (A8, A11).

use std::time::{Duration, Instant};

use hotshoe_core::method::Refusal;
use hotshoe_core::package;
use serde_json::Value;

use super::alone::{alone, descriptors, descriptors_after};
use super::cage::Cage;
use super::members::Member;
use super::stage::Stage;

/// A member under another name, so that it is a plugin of its own.
fn named(member: Member, number: usize) -> Vec<u8> {
    let plugin = member.trial().plugin;
    let (_, manifest) = package::read(&plugin).unwrap();
    package::embed(&plugin, &manifest.replace("zoo.hand-made", &format!("zoo.hand-made-{number}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_spin_starve_nobody() {
    // Nothing but the second that a method has ends them.
    let cage = Cage::around(Stage::with(|settings| settings.burst_limit = Duration::from_secs(3600))).await;
    let mut spinning = Vec::new();
    for number in 0..5 {
        let plugin = cage.stage.load(&named(Member::SpinsInACall, number)).await.unwrap();
        for _ in 0..12 {
            let plugin = plugin.clone();
            spinning.push(tokio::spawn(async move { plugin.call("go", Value::Null, "call-1").await }));
        }
    }
    let began = Instant::now();
    let mut calls = 0;
    while spinning.iter().any(|spin| !spin.is_finished()) {
        cage.neighbour_answers().await;
        calls += 1;
    }
    println!(
        "{} spun for {:?}; the neighbour was answered {calls} times over",
        spinning.len(),
        began.elapsed()
    );
    for spin in spinning {
        let end = spin.await.unwrap();
        assert!(matches!(end, Err(Refusal::TimedOut | Refusal::Busy)), "{end:?}");
    }
    assert!(calls > 20, "{calls}");
    cage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_that_trap_again_and_again_leave_nothing() {
    if !alone("crowd::plugins_that_trap_again_and_again_leave_nothing").await {
        return;
    }
    let cage = Cage::new().await;
    let traps = cage.stage.load(&named(Member::Recurses, 1)).await.unwrap();
    let before = descriptors();
    for _ in 0..500 {
        let end = traps.call("go", Value::Null, "call-1").await;
        assert!(matches!(end, Err(Refusal::PluginFailed { .. })), "{end:?}");
    }
    let after = descriptors_after(before).await;
    assert!(after <= before, "{after} descriptors are open where {before} were");
    cage.end().await;
}
