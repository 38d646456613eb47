//! Jobs over a swap: taken over, or left to the version that began them.

use std::time::Duration;

use hotshoe_core::job::JobSpec;
use hotshoed::job::JobSummary;
use serde_json::json;

use super::rig::{Made, Rig, version};

/// Announces a job that pauses again and again, and waits for its first checkpoint.
async fn long_job(rig: &Rig) {
    job_of(rig, 1000, 1000).await;
}

/// The same for so many pauses of so many milliseconds.
async fn job_of(rig: &Rig, times: u64, milliseconds: u64) {
    let summary = rig.summary();
    let input = json!({ "times": times, "milliseconds": milliseconds });
    let spec = JobSpec { kind: "later".into(), input, lane: None };
    rig.jobs.accept(&summary.name, &summary.version.unwrap(), spec).await.unwrap().start();
    until(|| job(rig).phase.is_some()).await;
}

fn job(rig: &Rig) -> JobSummary {
    rig.jobs.list().into_iter().next().unwrap()
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("waited in vain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_over_to_the_version_that_takes_it() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    long_job(&rig).await;
    rig.install(&version("1.1.0")).await.unwrap();
    until(|| job(&rig).version.to_string() == "1.1.0").await;
    until(|| rig.summary().pinned.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_job_keeps_its_version_over_swaps_and_restarts() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    long_job(&rig).await;
    for other in ["1.1.0", "1.2.0", "1.3.0"] {
        rig.install(&Made { adopt: "refuse", ..version(other) }).await.unwrap();
        for _ in 0..20 {
            rig.assert_live(other).await;
        }
        rig.until_state("settled").await;
    }
    let pinned: Vec<String> = rig.summary().pinned.iter().map(ToString::to_string).collect();
    assert_eq!(pinned, ["1.0.0"]);
    let rig = rig.restarted().await;
    rig.assert_live("1.3.0").await;
    let attempt = |rig: &Rig| (job(rig).version.to_string(), job(rig).trouble);
    until(|| job(&rig).state == "waiting").await;
    assert_eq!(attempt(&rig), ("1.0.0".into(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_traps_when_it_is_offered_a_job_does_not_come_in() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    long_job(&rig).await;
    let before = rig.plugins.list();
    let error = rig.install(&Made { adopt: "trap", ..version("1.1.0") }).await.unwrap_err();
    assert_eq!(error.code(), "adopt");
    assert_eq!(rig.plugins.list(), before);
    rig.assert_live("1.0.0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_outlives_the_removal_of_its_plugin_and_takes_the_rest_of_it_along() {
    let rig = Rig::new().await;
    rig.install(&version("1.0.0")).await.unwrap();
    let name = rig.summary().name;
    job_of(&rig, 20, 100).await;
    rig.plugins.remove(&name).await.unwrap();
    assert_eq!((rig.ask().await.0, rig.plugins.list().len()), (404, 1), "kept for the job alone");
    let rig = rig.restarted().await;
    assert_eq!((rig.ask().await.0, job(&rig).trouble), (404, None));
    until(|| job(&rig).state == "done").await;
    until(|| rig.plugins.list().is_empty()).await;
    let shelf = rig.stage.directory.path().join("shelf");
    until(|| std::fs::read_dir(&shelf).unwrap().next().is_none()).await;
}
