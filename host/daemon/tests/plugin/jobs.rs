//! Jobs in a real guest, run by the real runner.

use std::sync::Arc;
use std::time::Duration;

use hotshoed::job::{
    Adoption, Checkpoint, Doing, Guest, Guests, JobRun, JobSettings, JobSpec, Jobs, RestartCommand, RunEnd,
    Stand,
};
use hotshoed::plugin::Plugin;
use hotshoed::state::StateDir;
use semver::Version;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::stage::{Stage, assert_well};

/// A plugin whose runs can be awaited.
struct Watched {
    plugin: Plugin,
    ends: mpsc::UnboundedSender<RunEnd>,
}

impl Guest for Watched {
    fn run(&self, run: JobRun) -> Doing<RunEnd> {
        let (plugin, ends) = (self.plugin.clone(), self.ends.clone());
        Box::pin(async move {
            let end = plugin.run_job(run).await;
            let _ = ends.send(end.clone());
            end
        })
    }

    fn adopt(&self, from: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption> {
        Guest::adopt(&self.plugin, from, checkpoint)
    }
}

/// A plugin whose jobs are run.
pub(crate) struct Running {
    pub(crate) plugin: Plugin,
    pub(crate) jobs: Jobs,
    pub(crate) ends: mpsc::UnboundedReceiver<RunEnd>,
}

impl Running {
    async fn on(stage: &Stage) -> Running {
        Running::new(stage, stage.test_guest().await, "boot-1")
    }

    /// In the boot of this name. Jobs of earlier ones are not taken up before `jobs.resume`.
    pub(crate) fn new(stage: &Stage, plugin: Plugin, boot: &str) -> Running {
        let path = stage.directory.path().join("jobs");
        std::fs::create_dir_all(&path).unwrap();
        let dir = cap_std::fs::Dir::open_ambient_dir(path, cap_std::ambient_authority()).unwrap();
        let restart = RestartCommand::new(vec!["/bin/true".into()], &[]);
        let settings = JobSettings::new(boot.into(), restart, Arc::new(|| 1_795_348_800_000));
        let slots = Arc::new(stage.services.flash.clone());
        let jobs = Jobs::new(settings, StateDir::new(dir), stage.services.outbox.clone(), slots);
        let (sender, ends) = mpsc::unbounded_channel();
        let watched: Arc<dyn Guest> = Arc::new(Watched { plugin: plugin.clone(), ends: sender });
        let manifest = plugin.manifest();
        let stand = Stand::of(manifest.version.clone(), watched);
        jobs.mount(Guests::from([(manifest.name.clone(), stand)]));
        Running { plugin, jobs, ends }
    }

    async fn start(&self, kind: &str, input: Value) {
        let manifest = self.plugin.manifest();
        let spec = JobSpec { kind: kind.into(), input, lane: None };
        self.jobs.accept(&manifest.name, &manifest.version, spec).await.unwrap().start();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_saves_shows_progress_and_ends() {
    let stage = Stage::new();
    let mut running = Running::on(&stage).await;
    running.start("progress", Value::Null).await;
    assert_eq!(running.ends.recv().await, Some(RunEnd::Done(json!({"runs": 1}))));
    running.start("later", json!({"milliseconds": 10})).await;
    assert_eq!(running.ends.recv().await, Some(RunEnd::Later(Duration::from_millis(10))));
    assert_eq!(running.ends.recv().await, Some(RunEnd::Done(json!({"runs": 2}))), "the checkpoint was kept");
    running.start("save-too-large", Value::Null).await;
    let Some(RunEnd::Done(done)) = running.ends.recv().await else { panic!("not done") };
    assert!(done["refused"].is_string(), "{done}");
    running.start("permanent", Value::Null).await;
    assert!(matches!(running.ends.recv().await, Some(RunEnd::Permanent(_))));
    running.start("restart", Value::Null).await;
    assert_eq!(running.ends.recv().await, Some(RunEnd::Restart));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_traps_or_loops_is_told_apart_from_one_that_fails() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_millis(200));
    let mut running = Running::on(&stage).await;
    running.start("trap-job", Value::Null).await;
    assert!(matches!(running.ends.recv().await, Some(RunEnd::Trapped(_))));
    running.start("spin-job", Value::Null).await;
    let end = running.ends.recv().await;
    assert!(matches!(end, Some(RunEnd::TimedOut)), "{end:?}");
    assert_well(&running.plugin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_is_asked_to_suspend_and_does() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_millis(100));
    let mut running = Running::on(&stage).await;
    running.start("sleepy", Value::Null).await;
    // Another job beside it, twenty pauses long: the sleepy one lives through them.
    running.start("later", json!({"times": 20, "milliseconds": 20})).await;
    loop {
        match running.ends.recv().await {
            Some(RunEnd::Later(_)) => {}
            Some(RunEnd::Done(done)) => break assert_eq!(done, json!({"runs": 21})),
            other => panic!("{other:?}"),
        }
    }
    running.jobs.drain(Duration::from_secs(30)).await;
    assert_eq!(running.ends.recv().await, Some(RunEnd::Suspended));
}
