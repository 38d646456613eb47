//! Tries every cut: for scripted guests, the process is killed or the power is cut between any two effects, up
//! to a number of cuts a life, and what was promised is checked all along. So with an operator's cancel: it comes
//! between any two effects, cuts before and after it.
//!
//! The disk here is honest (what was stored is there, all of it); that a real one is made so is the concern of
//! the state directory. Time passes at once.

use serde_json::json;

use super::testing::job;
use super::*;

/// What a guest does in one run: saves, arms a trial, and ends.
enum Act {
    Save(&'static str),
    Arm,
    Confirm,
    End(RunEnd),
}

/// A scripted guest: what it does, given why it runs, its checkpoint's phase, the slot that runs and its attempt.
type Script = fn(&Wake, Option<&str>, &str, u32) -> Vec<Act>;

/// A whole device, cheap to clone, so that the search can go on from any point.
#[derive(Clone)]
struct World {
    script: Script,
    restart_works: bool,
    // Durable.
    disk: Option<Job>,
    good: &'static str,
    trial: Option<&'static str>,
    // Of this boot.
    boot: u32,
    slot: &'static str,
    // What the outside has seen.
    told: bool,
    ran: bool,
    restart_asked_in: Option<u32>,
    held: bool,
    cuts_left: u32,
    lives: u32,
    /// Whether an operator may still cancel.
    cancels_left: u32,
    /// The cancel was taken: it is stored.
    cancelled: bool,
    /// Whether the job armed anything at all.
    armed: bool,
}

/// What the process has in memory.
#[derive(Clone)]
struct Process {
    job: Job,
    queue: Vec<Todo>,
}

#[derive(Clone, Debug)]
enum Todo {
    Effect(Effect),
    /// The guest's next act, by its number in the script of this run.
    Act(Wake, usize, Option<String>, u32),
    /// The slot is armed; nothing comes between this and its being stored but a cut.
    Armed,
    Event(Event),
}

struct Search {
    checked: u64,
    cuts: u64,
    cancels: u64,
}

impl Search {
    /// Goes on until the job has ended, trying a cut before each step.
    fn explore(&mut self, mut world: World, mut process: Process) {
        for _ in 0..4_000 {
            self.checked += 1;
            if world.cuts_left > 0 {
                for power in [false, true] {
                    self.cuts += 1;
                    let mut other = world.clone();
                    other.cuts_left -= 1;
                    if power {
                        other.power_cut();
                    }
                    match other.load() {
                        Some(process) => self.explore(other, process),
                        None => assert!(!other.told, "the caller was told and the job is lost"),
                    }
                }
            }
            if world.cancels_left > 0 && world.told && !process.is_arming() {
                let (mut world, mut process) = (world.clone(), process.clone());
                world.cancels_left -= 1;
                self.cancels += 1;
                world.cancel(&mut process);
                self.explore(world, process);
            }
            if process.queue.is_empty() && matches!(process.job.state, State::Ready { .. }) {
                process.queue.push(Todo::Event(Event::Start { boot_id: world.boot_id() }));
            }
            if process.queue.is_empty() {
                world.check_end(&process.job);
                assert!(process.job.has_ended(), "nothing is left to do in {:?}", process.job.state);
                assert_eq!(world.disk.as_ref(), Some(&process.job));
                assert!(!world.held, "what the job held was given back");
                return;
            }
            let todo = process.queue.remove(0);
            if world.perform(&mut process, todo) {
                let Some(next) = world.load() else { panic!("a restart lost the job") };
                process = next;
            }
        }
        panic!("the job does not end: {:?}", process.job);
    }
}

impl Process {
    fn is_arming(&self) -> bool {
        self.queue.iter().any(|todo| matches!(todo, Todo::Armed))
    }
}

impl World {
    /// An operator's cancel, as the runner takes it: refused once the job is over or its image confirmed, else stored
    /// at once, beside whatever is under way; pauses and restarts that were to come do not.
    fn cancel(&mut self, process: &mut Process) {
        let confirmed = self.armed && self.slot == "b" && self.good == "b";
        if process.job.has_ended() || process.job.over.is_some() || confirmed {
            return;
        }
        let (job, effects) =
            step(process.job.clone(), Event::Cancel, Moment::default(), &Settings::default());
        if effects.is_empty() {
            assert!(process.job.cancel.is_some());
            return;
        }
        assert_eq!(effects, [Effect::Store]);
        self.disk = Some(job.clone());
        self.cancelled = true;
        process.job = job;
        let stale = |todo: &Todo| {
            matches!(
                todo,
                Todo::Effect(Effect::Wake { .. } | Effect::FlushOutbox | Effect::Restart)
                    | Todo::Event(Event::TimerDue | Event::RestartFailed(_))
            )
        };
        process.queue.retain(|todo| !stale(todo));
    }

    fn check_end(&self, job: &Job) {
        let State::Ended { outcome, .. } = &job.state else { return };
        assert_eq!(*outcome == Ended::Cancelled, self.cancelled, "exactly the end that was ordered: {job:?}");
        if !matches!(outcome, Ended::Done(_)) {
            assert_eq!(self.trial, None, "a job has left a trial armed: {job:?}");
            if self.restart_works {
                assert_eq!(self.slot, self.good, "a job has ended on its trial: {job:?}");
            }
        }
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    fn power_cut(&mut self) {
        self.boot += 1;
        self.slot = self.trial.take().unwrap_or(self.good);
    }

    /// Starts the process: what the disk holds is all it knows.
    fn load(&mut self) -> Option<Process> {
        self.lives += 1;
        let job = self.disk.clone()?;
        let expected = match &job.state {
            State::Restarting { wanted: Some(wanted), .. } => wanted == self.slot,
            _ => true,
        };
        let booted = Event::Booted { boot_id: self.boot_id(), running: self.slot.to_owned(), expected };
        Some(Process { job, queue: vec![Todo::Event(booted)] })
    }

    /// Does one thing; true when the device was restarted by it.
    fn perform(&mut self, process: &mut Process, todo: Todo) -> bool {
        match todo {
            Todo::Event(event) => self.event(process, event),
            Todo::Effect(Effect::Store) => {
                if let Some(ended) = self.disk.as_ref().filter(|job| job.has_ended()) {
                    assert_eq!(
                        process.job.state, ended.state,
                        "a job that has ended began again, or otherwise"
                    );
                }
                if self.cancelled {
                    assert!(process.job.cancel.is_some(), "a cancel was forgotten");
                }
                self.disk = Some(process.job.clone());
            }
            Todo::Effect(Effect::Reply) => {
                assert!(self.disk.is_some(), "told before it was stored");
                self.told = true;
                process.queue.push(Todo::Event(Event::Replied));
            }
            Todo::Effect(Effect::Run { wake }) => {
                let stored = self.disk.as_ref().map(|job| job.state.clone());
                assert_eq!(
                    stored,
                    Some(State::Running { boot_id: self.boot_id() }),
                    "run before it was stored"
                );
                assert!(wake != Wake::Started || !self.ran, "only the first run is `started`");
                if let Wake::Restarted(boot) = &wake {
                    let asked = self.restart_asked_in.expect("restarted without having asked");
                    assert!(asked < self.boot, "restarted without a restart of the device");
                    assert_eq!(boot.slot, self.slot);
                    assert_eq!(boot.expected, self.slot == "b");
                }
                self.ran = true;
                self.held = true;
                let phase = process.job.checkpoint.as_ref().map(|checkpoint| checkpoint.phase.clone());
                process.queue.push(Todo::Act(wake, 0, phase, process.job.attempt));
            }
            Todo::Effect(Effect::Wake { .. }) => process.queue.push(Todo::Event(Event::TimerDue)),
            Todo::Effect(Effect::FlushOutbox) => {}
            Todo::Effect(Effect::Restart) => {
                let stored = self.disk.as_ref().map(|job| &job.state);
                assert!(
                    matches!(stored, Some(State::Restarting { .. })),
                    "restart before it was stored: {stored:?}"
                );
                if self.restart_works {
                    self.power_cut();
                    return true;
                }
                process.queue.push(Todo::Event(Event::RestartFailed("no such command".into())));
            }
            Todo::Effect(Effect::Revert) => {
                assert!(
                    self.disk.as_ref().is_some_and(|job| job.cancel.is_some() || job.over.is_some()),
                    "given up without a cancel or an end"
                );
                self.trial = None;
                let on_trial = self.slot != self.good;
                process.queue.push(Todo::Event(Event::Reverted { boot_id: self.boot_id(), on_trial }));
            }
            Todo::Armed => {
                let stored = self.disk.as_ref().expect("it runs");
                assert_eq!((stored.cancel, stored.armed.as_deref()), (None, Some("b")), "armed unasked");
                self.trial = Some("b");
                self.armed = true;
            }
            Todo::Effect(Effect::Release) => {
                assert!(self.disk.as_ref().is_some_and(Job::has_ended), "released before the end was stored");
                self.held = false;
            }
            Todo::Act(wake, index, phase, attempt) => {
                let acts = (self.script)(&wake, phase.as_deref(), self.slot, attempt);
                match acts.into_iter().nth(index).expect("each script ends with `End`") {
                    Act::Save(phase) => {
                        let checkpoint = Checkpoint { phase: phase.to_owned(), schema: 1, bytes: vec![] };
                        self.event(process, Event::Saved(checkpoint));
                    }
                    Act::Arm => {
                        self.event(process, Event::Arming("b".into()));
                        if process.queue.iter().any(|todo| matches!(todo, Todo::Effect(Effect::Store))) {
                            process.queue.push(Todo::Armed);
                        }
                    }
                    Act::Confirm if process.job.cancel.is_none() => self.good = self.slot,
                    Act::Confirm => {}
                    Act::End(end) => {
                        let wanted = Some("b".to_owned());
                        if end == RunEnd::Restart {
                            self.restart_asked_in = Some(self.boot);
                        }
                        self.event(process, Event::RunEnded { end, wanted });
                        return false;
                    }
                }
                process.queue.push(Todo::Act(wake, index + 1, phase, attempt));
            }
        }
        false
    }

    fn event(&self, process: &mut Process, event: Event) {
        let settings = Settings::default();
        let push = |process: &mut Process, event| {
            let (job, effects) = step(process.job.clone(), event, Moment::default(), &settings);
            process.job = job;
            process.queue.extend(effects.into_iter().map(Todo::Effect));
        };
        push(process, event);
    }
}

/// Accepts a job and tries everything; returns how many steps and cuts that were.
fn explore(script: Script, restart_works: bool, cuts: u32) -> (u64, u64) {
    let search = search(script, restart_works, cuts, 0);
    (search.checked, search.cuts)
}

fn search(script: Script, restart_works: bool, cuts: u32, cancels: u32) -> Search {
    let world = World {
        script,
        restart_works,
        disk: None,
        good: "a",
        trial: None,
        boot: 1,
        slot: "a",
        told: false,
        ran: false,
        restart_asked_in: None,
        held: false,
        cuts_left: cuts,
        lives: 1,
        cancels_left: cancels,
        cancelled: false,
        armed: false,
    };
    let queue = accept().into_iter().map(Todo::Effect).collect();
    let mut search = Search { checked: 0, cuts: 0, cancels: 0 };
    search.explore(world, Process { job: job(State::Accepted), queue });
    search
}

/// As a firmware update does it; asks the slot that runs, since it may be interrupted after the restart.
fn update(wake: &Wake, phase: Option<&str>, slot: &str, attempt: u32) -> Vec<Act> {
    if slot == "b" {
        return vec![Act::Confirm, Act::Save("confirmed"), Act::End(RunEnd::Done(json!("completed")))];
    }
    if matches!(wake, Wake::Restarted(boot) if !boot.expected) {
        return vec![Act::End(RunEnd::Permanent("rolled back".into()))];
    }
    match phase {
        None if attempt == 1 => {
            vec![Act::Save("downloading"), Act::End(RunEnd::Transient("no route".into()))]
        }
        None | Some("downloading") => {
            vec![Act::Save("applying"), Act::Arm, Act::Save("restarting"), Act::End(RunEnd::Restart)]
        }
        _ => vec![Act::Arm, Act::Save("restarting"), Act::End(RunEnd::Restart)],
    }
}

#[test]
fn an_update_ends_whatever_is_cut_three_times() {
    let (checked, cuts) = explore(update, true, 3);
    assert!(cuts > 10_000, "{cuts} cuts in {checked} steps: the search is blind");
}

/// As an update whose image finds itself unfit.
fn unfit(wake: &Wake, phase: Option<&str>, slot: &str, attempt: u32) -> Vec<Act> {
    match slot {
        "b" => vec![Act::Save("unfit"), Act::End(RunEnd::Permanent("the self-test fails".into()))],
        _ => update(wake, phase, slot, attempt),
    }
}

#[test]
fn an_update_that_fails_on_its_trial_leaves_it_whatever_is_cut_three_times() {
    assert!(explore(unfit, true, 3).1 > 10_000);
    assert!(search(unfit, true, 2, 1).cancels > 1_000);
    explore(unfit, false, 2);
}

#[test]
fn a_job_that_pauses_ends() {
    fn script(wake: &Wake, _: Option<&str>, _: &str, _: u32) -> Vec<Act> {
        match wake {
            Wake::Due => vec![Act::End(RunEnd::Done(json!(null)))],
            _ => vec![Act::Save("paused"), Act::End(RunEnd::Later(std::time::Duration::from_secs(60)))],
        }
    }
    explore(script, true, 3);
}

#[test]
fn a_job_that_always_traps_ends() {
    explore(|_, _, _, _| vec![Act::Save("same"), Act::End(RunEnd::Trapped("unreachable".into()))], true, 1);
}

#[test]
fn a_job_that_always_restarts_ends() {
    explore(|_, _, _, _| vec![Act::Arm, Act::End(RunEnd::Restart)], true, 2);
}

#[test]
fn a_device_that_cannot_restart_ends_the_job() {
    explore(|_, _, _, _| vec![Act::End(RunEnd::Restart)], false, 1);
}

#[test]
fn a_cancelled_update_arms_nothing_and_ends_once_whatever_is_cut_twice() {
    let search = search(update, true, 2, 1);
    assert!(search.cancels > 1_000 && search.cuts > 10_000, "{} {}", search.cancels, search.cuts);
}

#[test]
fn cancelled_jobs_that_do_not_listen_end_too() {
    let pauses: Script =
        |_, _, _, _| vec![Act::Save("paused"), Act::End(RunEnd::Later(std::time::Duration::MAX))];
    let held: Script = |_, _, _, _| vec![Act::End(RunEnd::Held(std::time::Duration::MAX, "night".into()))];
    let restarts: Script = |_, _, _, _| vec![Act::Arm, Act::End(RunEnd::Restart)];
    let traps: Script = |_, _, _, _| vec![Act::End(RunEnd::Trapped("unreachable".into()))];
    for script in [restarts, traps] {
        assert!(search(script, true, 1, 1).cancels > 100);
    }
    // Those never end of themselves: the cancel comes in the first three hundred steps.
    for script in [pauses, held] {
        first_steps(script, 300);
    }
}

/// Cancels at each of the first steps of a job that would go on for ever, with a cut at each step after.
fn first_steps(script: Script, steps: u32) {
    let mut world = World {
        script,
        restart_works: true,
        disk: None,
        good: "a",
        trial: None,
        boot: 1,
        slot: "a",
        told: false,
        ran: false,
        restart_asked_in: None,
        held: false,
        cuts_left: 0,
        lives: 1,
        cancels_left: 0,
        cancelled: false,
        armed: false,
    };
    let queue = accept().into_iter().map(Todo::Effect).collect();
    let mut process = Process { job: job(State::Accepted), queue };
    for _ in 0..steps {
        if world.told {
            let (mut world, mut process) = (world.clone(), process.clone());
            world.cuts_left = 1;
            world.cancel(&mut process);
            Search { checked: 0, cuts: 0, cancels: 0 }.explore(world, process);
        }
        if process.queue.is_empty() {
            process.queue.push(Todo::Event(Event::Start { boot_id: world.boot_id() }));
        }
        let todo = process.queue.remove(0);
        assert!(!world.perform(&mut process, todo));
    }
}

#[test]
fn a_cancel_on_a_device_that_cannot_restart_ends_too() {
    search(|_, _, _, _| vec![Act::Arm, Act::End(RunEnd::Restart)], false, 1, 1);
}
