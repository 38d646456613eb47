//! The runner on real files, with scripted guests; a life of the process is a runtime that is thrown away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use hotshoe_core::job::Backoff;
use semver::Version;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::*;
use crate::disk::refusing::{Refusals, Refusing};
use crate::hub::Outbox;
use crate::state::StateDir;

mod adoption;
mod cancel;

type Ending = Pin<Box<dyn Future<Output = RunEnd> + Send>>;

/// A guest that tells the test of each run and does what a function says.
#[derive(Clone)]
struct Scripted {
    told: mpsc::UnboundedSender<JobRun>,
    script: fn(JobRun) -> Ending,
    adopt: fn(Version, Option<Checkpoint>) -> Adoption,
}

impl Guest for Scripted {
    fn run(&self, run: JobRun) -> Ending {
        self.told.send(run.clone()).unwrap();
        (self.script)(run)
    }

    fn adopt(&self, from: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption> {
        let answer = (self.adopt)(from, checkpoint);
        Box::pin(async move { answer })
    }
}

/// A device's disk, and what restarts it.
struct Disk {
    directory: tempfile::TempDir,
    /// What the clock on the wall says.
    now: Arc<AtomicU64>,
    /// What the directory of the jobs refuses.
    refusals: Arc<Refusals>,
}

/// One life of the process.
struct Life {
    runtime: Runtime,
    jobs: Jobs,
    outbox: Outbox,
    runs: mpsc::UnboundedReceiver<JobRun>,
}

impl Disk {
    fn new() -> Disk {
        Disk {
            directory: tempfile::tempdir().unwrap(),
            now: Arc::new(1_800_000_000_000.into()),
            refusals: Arc::default(),
        }
    }

    fn state(&self, name: &str) -> StateDir {
        let dir = Dir::open_ambient_dir(self.directory.path(), ambient_authority()).unwrap();
        StateDir::new(dir).subdirectory(name).unwrap()
    }

    /// Where the process keeps its jobs.
    fn jobs(&self) -> StateDir {
        let dir = Dir::open_ambient_dir(self.directory.path(), ambient_authority()).unwrap();
        StateDir::new(Refusing::new(dir, Arc::clone(&self.refusals))).subdirectory("jobs").unwrap()
    }

    fn restarted(&self) -> std::path::PathBuf {
        self.directory.path().join("restarted")
    }

    fn stored(&self) -> Vec<Value> {
        let mut jobs = Vec::new();
        for entry in std::fs::read_dir(self.directory.path().join("jobs")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            jobs.extend(self.state("jobs").read::<Value>(&name).unwrap());
        }
        jobs
    }

    /// Starts the process in a boot, its plugin mounted, the jobs of earlier lives taken up.
    fn start(&self, boot_id: &str, script: fn(JobRun) -> Ending) -> Life {
        self.start_with(boot_id, Some(script), vec!["touch".into(), self.restarted().display().to_string()])
    }

    fn start_with(&self, boot_id: &str, script: Option<fn(JobRun) -> Ending>, restart: Vec<String>) -> Life {
        let runtime = Runtime::new().unwrap();
        let (told, runs) = mpsc::unbounded_channel();
        let now = Arc::clone(&self.now);
        let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
        let mut settings = JobSettings::new(boot_id.into(), RestartCommand::new(restart, &[]), clock);
        settings.flush = Duration::from_millis(1);
        settings.grace = Duration::from_secs(2);
        settings.machine.backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(5) };
        settings.machine.shortest_pause = Duration::from_millis(1);
        let (jobs, outbox) = runtime.block_on(async {
            let outbox = Outbox::open(self.state("hub")).unwrap();
            let jobs = Jobs::new(settings, self.jobs(), outbox.clone(), Arc::new(NoSlots));
            if let Some(script) = script {
                jobs.mount(mounted(told, script));
            }
            jobs.resume().await.unwrap();
            (jobs, outbox)
        });
        Life { runtime, jobs, outbox, runs }
    }
}

fn mounted(told: mpsc::UnboundedSender<JobRun>, script: fn(JobRun) -> Ending) -> Guests {
    let guest: Arc<dyn Guest> =
        Arc::new(Scripted { told, script, adopt: |_, checkpoint| Adoption::Taken(checkpoint) });
    Guests::from([("acme.update".parse().unwrap(), Stand::of(Version::new(1, 0, 0), guest))])
}

impl Life {
    fn accept(&self, lane: Option<&str>) -> Result<Accepted, hotshoe_core::method::Refusal> {
        let spec = JobSpec { kind: "update".into(), input: json!({"n": 1}), lane: lane.map(str::to_owned) };
        let (plugin, version) = ("acme.update".parse().unwrap(), "1.0.0".parse().unwrap());
        self.runtime.block_on(self.jobs.accept(&plugin, &version, spec))
    }

    /// Waits for the next run.
    fn run(&mut self) -> JobRun {
        let next = async { tokio::time::timeout(Duration::from_secs(30), self.runs.recv()).await };
        self.runtime.block_on(next).expect("the job runs").expect("the guest is mounted")
    }

    /// Waits until the jobs look so.
    fn until(&self, wanted: impl Fn(&[JobSummary]) -> bool) -> Vec<JobSummary> {
        self.runtime.block_on(async {
            let looking = async {
                loop {
                    let list = self.jobs.list();
                    if wanted(&list) {
                        return list;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let found = tokio::time::timeout(Duration::from_secs(30), looking).await;
            found.unwrap_or_else(|_| panic!("the jobs stay at {:#?}", self.jobs.list()))
        })
    }

    /// `kill -9`, as near as one process comes to it: nothing is told, nothing is finished.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn ends(end: RunEnd) -> Ending {
    Box::pin(async move { end })
}

fn forever(_: JobRun) -> Ending {
    Box::pin(std::future::pending())
}

fn done(_: JobRun) -> Ending {
    ends(RunEnd::Done(json!("ok")))
}

fn all_are(state: &'static str) -> impl Fn(&[JobSummary]) -> bool {
    move |jobs| !jobs.is_empty() && jobs.iter().all(|job| job.state == state)
}

#[test]
fn a_job_is_stored_before_it_runs_and_ends_with_its_lane_free() {
    let disk = Disk::new();
    let mut life = disk.start("one", done);
    let accepted = life.accept(Some("firmware")).unwrap();
    assert_eq!(disk.stored().len(), 1, "stored when accept returns");
    assert!(life.runs.try_recv().is_err(), "not begun before the caller is told");
    let id = accepted.id().clone();
    accepted.start();
    let run = life.run();
    assert_eq!((run.id, run.wake, run.attempt, run.input), (id, Wake::Started, 1, json!({"n": 1})));
    life.until(all_are("done"));
    life.accept(Some("firmware")).unwrap().start();
    life.run();
    life.kill();
}

#[test]
fn a_taken_lane_is_409_and_names_the_holder() {
    let disk = Disk::new();
    let life = disk.start("one", forever);
    let first = life.accept(Some("firmware")).unwrap();
    let refusal = life.accept(Some("firmware")).err().unwrap();
    assert_eq!(refusal.response().status, 409);
    assert!(refusal.to_string().contains(first.id().as_str()), "{refusal}");
    life.accept(None).unwrap().start();
    life.kill();
}

#[test]
fn a_job_that_was_promised_is_run_by_the_next_life() {
    let disk = Disk::new();
    let life = disk.start("one", done);
    std::mem::forget(life.accept(Some("firmware")).unwrap());
    life.kill();
    let mut life = disk.start("two", done);
    assert_eq!(life.run().wake, Wake::Started);
    life.until(all_are("done"));
    life.kill();
}

#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    fn saves(run: JobRun) -> Ending {
        Box::pin(async move {
            let checkpoint = Checkpoint { phase: "downloading".into(), schema: 1, bytes: vec![1, 2] };
            run.handle.save(checkpoint).await.unwrap();
            std::future::pending().await
        })
    }
    let disk = Disk::new();
    let life = disk.start("one", saves);
    life.accept(Some("firmware")).unwrap().start();
    life.until(|jobs| jobs.iter().any(|job| job.phase.as_deref() == Some("downloading")));
    life.kill();
    let mut life = disk.start("one", done);
    let run = life.run();
    assert_eq!(run.wake, Wake::Interrupted);
    assert_eq!(run.attempt, 2);
    assert_eq!(run.checkpoint.unwrap().bytes, [1, 2]);
    life.until(all_are("done"));
    life.kill();
    let mut life = disk.start("one", done);
    assert!(life.runs.try_recv().is_err(), "what has ended is never run again");
    assert_eq!(life.jobs.list().len(), 1, "and is still there to be looked at");
    life.kill();
}

#[test]
fn a_restart_is_told_by_the_boot_id() {
    let disk = Disk::new();
    let life = disk.start("one", |_| ends(RunEnd::Restart));
    life.accept(None).unwrap().start();
    life.until(|_| disk.restarted().exists());
    life.kill();

    std::fs::remove_file(disk.restarted()).unwrap();
    let mut life = disk.start("one", done);
    life.until(|_| disk.restarted().exists());
    assert!(life.runs.try_recv().is_err(), "the same boot: the restart is asked for again");
    life.kill();

    let mut life = disk.start("two", done);
    assert_eq!(life.run().wake, Wake::Restarted(Boot { slot: String::new(), expected: true }));
    life.until(all_are("done"));
    life.kill();
}

#[test]
fn a_restart_command_that_fails_is_asked_again_and_fails_the_job_in_the_end() {
    let disk = Disk::new();
    let life = disk.start_with("one", Some(|_| ends(RunEnd::Restart)), vec!["false".into()]);
    life.accept(None).unwrap().start();
    let jobs = life.until(all_are("failed"));
    let trouble = jobs[0].trouble.clone().unwrap();
    assert!(trouble.contains("28 times") && trouble.contains("\"false\""), "{trouble}");
    life.until(|_| life.outbox.reported()["hotshoe"]["lastFailure"]["kind"] == "update");
    life.kill();
}

#[test]
fn shutting_down_asks_runs_to_stop_then_cuts_them() {
    fn polite(run: JobRun) -> Ending {
        Box::pin(async move {
            if run.wake != Wake::Started {
                return RunEnd::Done(json!(null));
            }
            while !run.handle.should_suspend() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            RunEnd::Suspended
        })
    }
    for (script, timeout) in [(polite as fn(JobRun) -> Ending, 30_000), (forever, 1)] {
        let disk = Disk::new();
        let mut life = disk.start("one", script);
        life.accept(None).unwrap().start();
        life.run();
        life.runtime.block_on(life.jobs.drain(Duration::from_millis(timeout)));
        assert_eq!(life.accept(None).err().unwrap().response().status, 503);
        life.kill();
        let mut life = disk.start("one", done);
        assert_eq!(life.run().wake, Wake::Interrupted);
        life.until(all_are("done"));
        life.kill();
    }
}

#[test]
fn a_job_waits_for_its_plugin_and_says_so() {
    let disk = Disk::new();
    let mut life = disk.start_with("one", None, vec![]);
    life.accept(None).unwrap().start();
    let jobs = life.until(all_are("ready"));
    assert!(jobs[0].trouble.as_ref().unwrap().contains("acme.update"), "{jobs:?}");
    let (told, runs) = mpsc::unbounded_channel();
    life.runs = runs;
    life.jobs.mount(mounted(told, done));
    assert_eq!(life.run().wake, Wake::Started);
    life.until(all_are("done"));
    life.kill();
}

#[test]
fn a_panic_under_a_run_ends_the_run_and_not_the_job() {
    fn panics_once(run: JobRun) -> Ending {
        Box::pin(async move {
            assert!(run.attempt > 1, "on purpose");
            RunEnd::Done(json!(null))
        })
    }
    let disk = Disk::new();
    let mut life = disk.start("one", panics_once);
    life.accept(None).unwrap().start();
    life.run();
    assert_eq!(life.run().wake, Wake::Interrupted);
    life.until(all_are("done"));
    life.kill();
}

#[test]
fn a_handle_is_good_for_its_run_alone() {
    let disk = Disk::new();
    let mut life = disk.start("one", done);
    life.accept(None).unwrap().start();
    let run = life.run();
    life.until(all_are("done"));
    let late = Checkpoint { phase: "late".into(), schema: 1, bytes: vec![] };
    let large = Checkpoint { bytes: vec![0; 16 * 1024 + 1], ..late.clone() };
    assert!(matches!(life.runtime.block_on(run.handle.save(late)), Err(SaveError::Over)));
    assert!(matches!(life.runtime.block_on(run.handle.save(large)), Err(SaveError::TooLarge(_))));
    life.kill();
}

#[test]
fn a_disk_that_refuses_means_no_job_and_a_free_lane() {
    let disk = Disk::new();
    let mut life = disk.start("one", done);
    let (jobs, aside) = (disk.directory.path().join("jobs"), disk.directory.path().join("aside"));
    std::fs::rename(&jobs, &aside).unwrap();
    std::fs::remove_dir_all(&aside).unwrap();
    let refusal = life.accept(Some("firmware")).err().unwrap();
    assert_eq!(refusal.response().status, 500);
    assert!(life.jobs.list().is_empty(), "nothing was promised");
    assert!(life.runs.try_recv().is_err());
    let again = life.accept(Some("firmware")).err().unwrap();
    assert_eq!(again.response().status, 500, "the lane is free: {again}");
    life.kill();
}

#[test]
fn a_job_that_was_refused_is_not_run_by_the_next_life_either() {
    let disk = Disk::new();
    let mut life = disk.start("one", done);
    // The job is in its place before the sync fails, and does not go away at once.
    disk.refusals.syncs.store(1, Ordering::Relaxed);
    disk.refusals.removals.store(3, Ordering::Relaxed);
    let refusal = life.accept(Some("firmware")).err().unwrap();
    assert_eq!(refusal.response().status, 500, "{refusal}");
    life.until(|jobs| jobs.is_empty());
    assert_eq!(disk.stored(), Vec::<Value>::new());
    life.accept(Some("firmware")).unwrap().start();
    life.run();
    life.until(all_are("done"));
    life.kill();
}

#[test]
fn a_job_that_cannot_be_read_keeps_no_other_from_going_on() {
    let disk = Disk::new();
    let life = disk.start("one", forever);
    let first = life.accept(None).unwrap();
    let second = life.accept(None).unwrap();
    let ids = (first.id().clone(), second.id().clone());
    life.kill();
    disk.refusals.make_unreadable(ids.0.as_str());
    let mut life = disk.start("one", done);
    assert_eq!(life.run().id, ids.1);
    let jobs = life.until(all_are("done"));
    assert_eq!(jobs.len(), 1);
    assert!(disk.directory.path().join("jobs").join(ids.0.as_str()).exists(), "it is left alone");
    life.kill();
}

#[test]
fn the_last_sixteen_ended_jobs_are_kept() {
    let disk = Disk::new();
    let mut life = disk.start("one", done);
    for _ in 0..20 {
        life.accept(Some("firmware")).unwrap().start();
        life.run();
        life.until(all_are("done"));
    }
    life.until(|jobs| jobs.len() == 16);
    assert_eq!(disk.stored().len(), 16);
    life.kill();
}

#[test]
fn the_last_to_fail_is_the_last_whatever_the_clock_says() {
    fn fails(_: JobRun) -> Ending {
        ends(RunEnd::Permanent("no".into()))
    }
    let disk = Disk::new();
    let life = disk.start("one", fails);
    (0..16).for_each(|_| life.accept(None).unwrap().start());
    life.until(|jobs| jobs.len() == 16 && all_are("failed")(jobs));
    life.kill();
    // The device restarts, and nobody has told it the time yet.
    disk.now.store(10_000, Ordering::Relaxed);
    let life = disk.start("two", fails);
    let last = life.accept(None).unwrap();
    let id = last.id().clone();
    last.start();
    let jobs = life.until(|jobs| jobs.len() == 16 && all_are("failed")(jobs));
    assert!(jobs.iter().any(|job| job.id == id), "the oldest is forgotten, not the last");
    life.runtime.block_on(life.jobs.tidy());
    assert_eq!(life.outbox.reported()["hotshoe"]["lastFailure"]["job"], json!(id));
    life.kill();
}

#[test]
fn progress_of_jobs_that_are_over_is_cleared() {
    let disk = Disk::new();
    let life = disk.start("one", done);
    life.runtime.block_on(async {
        let left = json!({"hotshoe": {"jobs": {"gone": {"phase": "downloading"}}}});
        life.outbox.patch(left).await.unwrap();
        life.jobs.tidy().await;
    });
    assert_eq!(life.outbox.reported().pointer("/hotshoe/jobs/gone").filter(|entry| !entry.is_null()), None);
    life.kill();
}
