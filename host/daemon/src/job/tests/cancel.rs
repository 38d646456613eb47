//! An operator's cancel, wherever the job stands.

use super::*;

/// Tells what it saw, and returns when it is cancelled.
fn listens(run: JobRun) -> Ending {
    Box::pin(async move {
        while !run.handle.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let phase = if run.handle.should_suspend() { "told" } else { "untold" };
        run.handle.save(Checkpoint { phase: phase.into(), schema: 1, bytes: vec![] }).await.unwrap();
        RunEnd::Done(json!("a word that does not count"))
    })
}

fn cancel(life: &Life, id: &JobId) -> Result<JobSummary, CancelError> {
    life.runtime.block_on(life.jobs.cancel(id))
}

fn begin(life: &Life) -> JobId {
    let accepted = life.accept(Some("firmware")).unwrap();
    let id = accepted.id().clone();
    accepted.start();
    id
}

fn assert_cancelled(life: &Life) {
    let jobs = life.until(all_are("cancelled"));
    assert_eq!(jobs.len(), 1);
    life.until(|_| life.outbox.reported()["hotshoe"]["lastCancelled"]["kind"] == "update");
    assert!(life.outbox.reported()["hotshoe"].get("lastFailure").is_none());
    begin(life);
}

#[test]
fn a_run_that_listens_is_run_once_more_and_the_job_is_cancelled() {
    let disk = Disk::new();
    let mut life = disk.start("one", listens);
    let id = begin(&life);
    life.run();
    assert_eq!(cancel(&life, &id).unwrap().state, "cancelling");
    let last = life.run();
    assert_eq!((last.wake, last.handle.is_cancelled()), (Wake::Interrupted, true));
    let jobs = life.until(all_are("cancelled"));
    assert_eq!(jobs[0].phase.as_deref(), Some("told"));
    assert!(matches!(cancel(&life, &id), Err(CancelError::Ended { .. })));
    assert_cancelled(&life);
    life.kill();
}

#[test]
fn a_run_that_ignores_it_is_cut_and_the_job_is_cancelled_anyway() {
    let disk = Disk::new();
    let mut life = disk.start("one", forever);
    let id = begin(&life);
    life.run();
    cancel(&life, &id).unwrap();
    life.run();
    let jobs = life.until(all_are("cancelled"));
    assert!(jobs[0].trouble.as_ref().unwrap().contains("did not stop"), "{jobs:?}");
    life.kill();
}

#[test]
fn a_pause_and_a_restart_that_were_to_come_do_not() {
    fn pauses(run: JobRun) -> Ending {
        ends(match run.handle.is_cancelled() {
            true => RunEnd::Permanent("the plugin's word".into()),
            false => RunEnd::Later(Duration::from_secs(3600)),
        })
    }
    fn restarts(run: JobRun) -> Ending {
        ends(if run.handle.is_cancelled() { RunEnd::Suspended } else { RunEnd::Restart })
    }
    for (script, state) in [(pauses as fn(JobRun) -> Ending, "waiting"), (restarts, "restarting")] {
        let disk = Disk::new();
        let mut life = disk.start("one", script);
        let id = begin(&life);
        life.run();
        life.until(all_are(state));
        cancel(&life, &id).unwrap();
        life.run();
        assert_cancelled(&life);
        life.kill();
    }
}

#[test]
fn a_job_whose_plugin_is_not_there_is_cancelled_without_it() {
    let disk = Disk::new();
    let life = disk.start_with("one", None, vec![]);
    let id = begin(&life);
    life.until(all_are("ready"));
    cancel(&life, &id).unwrap();
    life.until(all_are("cancelled"));
    life.kill();
}

#[test]
fn a_cancel_survives_what_comes_after_it() {
    let disk = Disk::new();
    let mut life = disk.start("one", forever);
    let id = begin(&life);
    life.run();
    cancel(&life, &id).unwrap();
    life.kill();
    let mut life = disk.start("two", listens);
    assert!(life.run().handle.is_cancelled());
    life.until(all_are("cancelled"));
    life.kill();
}

#[test]
fn nothing_is_armed_or_confirmed_after_a_cancel() {
    let disk = Disk::new();
    let mut life = disk.start("one", listens);
    let id = begin(&life);
    let handle = life.run().handle;
    assert_eq!(life.runtime.block_on(handle.arm("b", async { 7 })).unwrap(), 7);
    assert_eq!(disk.stored()[0]["armed"], "b", "noted before it is armed");
    cancel(&life, &id).unwrap();
    let panics = || async { panic!("this must not be begun") };
    assert!(life.runtime.block_on(handle.arm("b", panics())).is_err());
    assert!(life.runtime.block_on(handle.confirm(panics())).is_err());
    assert!(life.runtime.block_on(handle.unless_cancelled(panics())).is_err());
    life.until(all_are("cancelled"));
    life.kill();
}

#[test]
fn what_is_not_there_or_over_is_not_cancelled() {
    let disk = Disk::new();
    let life = disk.start("one", done);
    let id = begin(&life);
    life.until(all_are("done"));
    let error = cancel(&life, &id).unwrap_err();
    assert_eq!((error.status(), error.to_string()), (409, format!("job {id} is done already")));
    let unknown = cancel(&life, &"nosuchjob".parse().unwrap()).unwrap_err();
    assert_eq!((unknown.status(), unknown.code()), (404, "unknownJob"));
    life.kill();
}

#[test]
fn what_the_policy_holds_waits_that_long_and_says_why() {
    fn held(run: JobRun) -> Ending {
        run.handle.hold(Duration::from_secs(3600), "the cap of today is reached".into());
        ends(RunEnd::Transient("interrupted".into()))
    }
    let disk = Disk::new();
    let life = disk.start("one", held);
    begin(&life);
    let jobs = life.until(all_are("waiting"));
    assert_eq!((jobs[0].attempt, jobs[0].trouble.as_deref()), (0, Some("the cap of today is reached")));
    life.kill();
}
