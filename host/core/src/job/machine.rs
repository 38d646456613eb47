//! The job machine: job × event → job × effects.
//!
//! What it promises, whatever is cut where (proved by `explorer`, which tries all of it):
//! - An accepted job is stored before the caller is told (`Store`, then `Reply`, then `Run`), and from then on is
//!   never lost.
//! - A job is never run after it has ended, and never twice at once.
//! - A restart happens after the job is stored and what it reported is sent (`Store`, `FlushOutbox`, `Restart`).
//! - Every job whose runs stop making progress ends: see [`Settings::strikes`], [`Settings::setbacks`] and
//!   [`Settings::restarts`].
//! - A job that fails gives up what it has armed, and ends only once the device runs from the good slot: see
//!   [`leaving`](super::leaving).
//! - A job that was cancelled arms nothing afterwards and ends as cancelled, whatever its plugin returns: see
//!   [`cancel`](super::cancel).
//!
//! What it does not do: bound transient failures. A server may be away for weeks; the plugin knows better, sees
//! `attempt`, and can end the job itself.

use std::time::Duration;

use semver::Version;
use serde_json::Value;

use super::backoff::{Backoff, milliseconds};
use super::cancel::{self, After, is_cancelled};
use super::leaving;
use super::{Before, Boot, Checkpoint, Ended, Job, State, Wake};
use crate::planted::{self, Bug};

/// The bounds of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The pause after a transient failure, a trap, and from the fourth crash of the host on.
    pub backoff: Backoff,
    /// The job fails for good with this many strikes in a row. The number is Mender's, which breaks loops of
    /// spontaneous restarts so.
    pub strikes: u32,
    /// The job fails for good with this many setbacks since the last run that ended well: what saves a new
    /// checkpoint each time and still never gets anywhere, or brings down the whole device.
    pub setbacks: u32,
    /// The job fails for good when it asks for more restarts than this.
    pub restarts: u32,
    /// The shortest pause that a plugin can ask for: each one costs two durable writes.
    pub shortest_pause: Duration,
    /// The longest pause that a plugin can ask for.
    pub longest_pause: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            backoff: Backoff::default(),
            strikes: 28,
            setbacks: 280,
            restarts: 16,
            shortest_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Debug)]
pub enum RunEnd {
    /// The job is done; the value is kept with it.
    Done(Value),
    /// Run it again after this time.
    Later(Duration),
    /// Restart the device, then run it again.
    Restart,
    /// It stopped because it was asked to.
    Suspended,
    /// It may work later.
    Transient(String),
    /// The device's own policy puts it off for so long, and why. Says nothing against the job: it is no attempt.
    Held(Duration, String),
    /// It will not work.
    Permanent(String),
    /// The guest trapped or the host failed under it.
    Trapped(String),
    /// The guest used more time than its manifest gives.
    TimedOut,
}

/// What can happen to a job.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The answer that announced it was sent, or was given up.
    Replied,
    /// Its plugin is there and the host may run it, in this boot.
    Start {
        /// The boot of now.
        boot_id: String,
    },
    /// Another version of its plugin takes it over, with this checkpoint. Runs are that version's from now on.
    Adopted {
        /// The version.
        version: Version,
        /// Where the job stands, in that version's words.
        checkpoint: Option<Checkpoint>,
    },
    /// The version that adopted it last was rolled back: the job is again what it was before.
    Returned,
    /// The guest saves a checkpoint. It may go on when the effects are performed.
    Saved(Checkpoint),
    /// The guest arms a trial boot of this slot. It may be armed when the effects are performed; without effects it may
    /// not.
    Arming(String),
    /// The device's own check puts off what the guest wants.
    Postponed,
    /// An operator cancels the job.
    Cancel,
    /// What a job that was cancelled or has failed may have armed is given up.
    Reverted {
        /// The boot of now.
        boot_id: String,
        /// Whether the device runs from the slot that was given up, so that it must be restarted.
        on_trial: bool,
    },
    /// Nobody is there to whom a cancelled job could be told.
    Unattended,
    /// A run came to an end of its own.
    RunEnded {
        /// How.
        end: RunEnd,
        /// The slot for which the job has armed a trial, if it has.
        wanted: Option<String>,
    },
    /// The host cut the run short for a reason of its own, such as shutting down. No strike.
    Cut,
    /// The pause of `Effect::Wake` is over.
    TimerDue,
    /// The command that restarts the device failed, or nothing came of it.
    RestartFailed(String),
    /// The process begins and has found the job on the disk.
    Booted {
        /// The boot of now.
        boot_id: String,
        /// The slot that runs now; empty where there are no slots.
        running: String,
        /// Whether the slot that a restarting job wanted runs now; true where it wanted none.
        expected: bool,
    },
}

/// What is to be done, in the order given, each durable or finished before the next.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Write the job to the disk; durable before anything else happens.
    Store,
    /// Tell the caller; what the caller was told is a promise.
    Reply,
    /// Call the guest.
    Run {
        /// What it is told.
        wake: Wake,
    },
    /// Send `Event::TimerDue` after so many milliseconds.
    Wake {
        /// How many.
        after: u64,
    },
    /// Send what was reported, as far as a bounded time goes.
    FlushOutbox,
    /// Have the device restarted.
    Restart,
    /// Give up the trial boot that the job may have armed, then send `Event::Reverted`.
    Revert,
    /// Give back what the job holds on the device (slots) and clear its progress.
    Release,
}

/// What time and chance say about a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// The wall clock, in milliseconds since the Unix epoch.
    pub now: u64,
    /// 64 random bits.
    pub random: u64,
}

/// What follows when a job is accepted. The job must be in `State::Accepted` and have been let into its lane.
pub fn accept() -> Vec<Effect> {
    vec![Effect::Store, Effect::Reply]
}

/// What follows when this happens to this job.
///
/// An event that means nothing in the state (a late timer, a run that ended after the job was cut) changes
/// nothing and has no effects.
pub fn step(job: Job, event: Event, moment: Moment, settings: &Settings) -> (Job, Vec<Effect>) {
    use Event::{
        Adopted, Arming, Booted, Cancel, Cut, Postponed, Replied, RestartFailed, Returned, Reverted,
        RunEnded, Saved, Start, TimerDue, Unattended,
    };
    match (job.state.clone(), event) {
        (_, Cancel) => cancel::order(job),
        (State::Ready { .. }, Start { .. }) if job.must_give_up() => (job, vec![Effect::Revert]),
        (State::Ready { .. }, Start { .. }) if let Some(outcome) = job.over.clone() => {
            finish(job, outcome, moment)
        }
        (State::Ready { wake }, Start { boot_id }) if is_cancelled(&job) => {
            start(cancel::told(job), wake, boot_id)
        }
        (State::Ready { .. }, Reverted { boot_id, on_trial }) => leaving::reverted(job, boot_id, on_trial),
        (State::Ready { .. }, Unattended) if is_cancelled(&job) && job.armed.is_none() => {
            finish(job, Ended::Cancelled, moment)
        }
        (State::Running { .. }, RunEnded { end, .. }) if is_cancelled(&job) => {
            match cancel::run_ended(job, &end) {
                After::End(job) => finish(job, Ended::Cancelled, moment),
                After::Tell(job) => (ready(job, Wake::Interrupted), vec![Effect::Store]),
                After::TellAgain(job) => {
                    let pause = milliseconds(settings.backoff.pause(job.attempt, moment.random));
                    wait(job, pause, Wake::Interrupted, moment)
                }
            }
        }
        (State::Restarting { boot_id: asked, .. }, Booted { boot_id, .. })
            if is_cancelled(&job) && asked != boot_id =>
        {
            (ready(job, Wake::Interrupted), vec![])
        }
        (State::Running { .. }, Arming(slot)) if !is_cancelled(&job) => {
            (Job { armed: Some(slot), postponed: 0, ..job }, vec![Effect::Store])
        }
        (State::Running { .. }, Postponed) => {
            (Job { postponed: job.postponed.saturating_add(1), ..job }, vec![Effect::Store])
        }
        (State::Accepted, Replied) => (ready(job, Wake::Started), vec![]),
        (State::Accepted, Booted { .. }) => (ready(job, Wake::Started), vec![]),
        (State::Ready { wake }, Start { boot_id }) => start(job, wake, boot_id),
        (State::Ready { wake }, Booted { running, expected, .. }) => {
            let wake = match wake {
                // Another restart came between: what runs now counts.
                Wake::Restarted(boot) => Wake::Restarted(Boot {
                    expected: expected && boot.expected && boot.slot == running,
                    slot: running,
                }),
                wake => wake,
            };
            (ready(job, wake), vec![])
        }
        (State::Ready { .. }, Adopted { version, checkpoint }) => adopted(job, version, checkpoint),
        (State::Ready { .. }, Returned) => returned(job),
        (State::Running { .. }, Saved(checkpoint)) => (saved(job, checkpoint), vec![Effect::Store]),
        (State::Running { boot_id }, RunEnded { end, wanted }) => {
            ended(job, boot_id, end, wanted, moment, settings)
        }
        (State::Running { .. }, Cut) => {
            (ready(Job { attempt: 0, ..job }, Wake::Interrupted), vec![Effect::Store])
        }
        (State::Running { boot_id: ran }, Booted { boot_id, .. }) => {
            let (cause, why) = if ran == boot_id {
                (Cause::Host, "the host stopped during the run")
            } else {
                (Cause::Device, "the device restarted during the run")
            };
            setback(job, cause, why.to_owned(), moment, settings)
        }
        (State::Waiting { wake, .. }, TimerDue) => (ready(job, wake), vec![]),
        (State::Waiting { until, pause, .. }, Booted { .. }) => {
            (job, vec![Effect::Wake { after: super::remaining(until, pause, moment.now) }])
        }
        (State::Restarting { boot_id: asked, .. }, Booted { boot_id, running, expected }) => {
            if asked != boot_id && !planted::on(Bug::RestartedUnseen) {
                let expected = expected || planted::on(Bug::FallBackUnseen);
                (ready(job, Wake::Restarted(Boot { slot: running, expected })), vec![])
            } else {
                ask_again(
                    job,
                    "the host stopped before the device was restarted".to_owned(),
                    0,
                    moment,
                    settings,
                )
            }
        }
        (State::Restarting { .. }, RestartFailed(why)) => {
            let pause = milliseconds(settings.backoff.pause(job.strikes + 1, moment.random));
            ask_again(job, why, pause, moment, settings)
        }
        (State::Restarting { .. }, TimerDue) => (job, vec![Effect::FlushOutbox, Effect::Restart]),
        // It may have ended just before the power was cut: what it held is given back again.
        (State::Ended { .. }, Booted { .. }) => (job, vec![Effect::Release]),
        (_, _) => (job, vec![]),
    }
}

pub(super) fn ready(job: Job, wake: Wake) -> Job {
    Job { state: State::Ready { wake }, ..job }
}

fn start(job: Job, wake: Wake, boot_id: String) -> (Job, Vec<Effect>) {
    let attempt = job.attempt.saturating_add(1);
    (Job { attempt, state: State::Running { boot_id }, ..job }, vec![Effect::Store, Effect::Run { wake }])
}

/// A version that takes over begins with a clean slate: what the one before did is not held against it.
fn adopted(job: Job, version: Version, checkpoint: Option<Checkpoint>) -> (Job, Vec<Effect>) {
    let before = Some(Before { version: job.version, checkpoint: job.checkpoint });
    (Job { version, checkpoint, before, attempt: 0, strikes: 0, ..job }, vec![Effect::Store])
}

fn returned(job: Job) -> (Job, Vec<Effect>) {
    match job.before {
        Some(Before { version, checkpoint }) => {
            let job = Job { version, checkpoint, before: None, attempt: 0, strikes: 0, ..job };
            (job, vec![Effect::Store])
        }
        None => (job, vec![]),
    }
}

fn saved(job: Job, checkpoint: Checkpoint) -> Job {
    let progress = job.checkpoint.as_ref() != Some(&checkpoint);
    let strikes = if progress { 0 } else { job.strikes };
    Job { strikes, checkpoint: Some(checkpoint), ..job }
}

fn ended(
    job: Job,
    boot_id: String,
    end: RunEnd,
    wanted: Option<String>,
    moment: Moment,
    settings: &Settings,
) -> (Job, Vec<Effect>) {
    match end {
        RunEnd::Done(value) => finish(Job { trouble: None, ..job }, Ended::Done(value), moment),
        RunEnd::Permanent(why) => fail(job, why, moment),
        RunEnd::Later(pause) => {
            let pause = pause.clamp(settings.shortest_pause, settings.longest_pause);
            wait(well(job), milliseconds(pause), Wake::Due, moment)
        }
        // A guest that stops unasked would otherwise run in a circle.
        RunEnd::Suspended => {
            wait(well(job), milliseconds(settings.shortest_pause), Wake::Interrupted, moment)
        }
        RunEnd::Restart if job.restarts >= settings.restarts => {
            let why =
                format!("it asked for restart {}, the limit is {}", job.restarts + 1, settings.restarts);
            fail(job, why, moment)
        }
        RunEnd::Restart => {
            let job = Job { restarts: job.restarts + 1, ..well(job) };
            let state = State::Restarting { boot_id, wanted };
            if planted::on(Bug::RestartBeforeStore) {
                return (Job { state, ..job }, vec![Effect::FlushOutbox, Effect::Restart, Effect::Store]);
            }
            (Job { state, ..job }, vec![Effect::Store, Effect::FlushOutbox, Effect::Restart])
        }
        RunEnd::Transient(why) => {
            let pause = milliseconds(settings.backoff.pause(job.attempt, moment.random));
            wait(Job { trouble: Some(shortened(&why)), ..job }, pause, Wake::Due, moment)
        }
        RunEnd::Held(pause, why) => {
            let pause = milliseconds(pause.clamp(settings.shortest_pause, settings.longest_pause));
            wait(Job { trouble: Some(shortened(&why)), ..well(job) }, pause, Wake::Due, moment)
        }
        RunEnd::Trapped(why) => setback(job, Cause::Job, why, moment, settings),
        RunEnd::TimedOut => {
            let why = "the run took longer than its plugin is given".to_owned();
            setback(job, Cause::Job, why, moment, settings)
        }
    }
}

fn well(job: Job) -> Job {
    Job { attempt: 0, strikes: 0, setbacks: 0, trouble: None, ..job }
}

/// What is kept of a text that a guest wrote.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(512).collect()
}

fn wait(job: Job, pause: u64, wake: Wake, moment: Moment) -> (Job, Vec<Effect>) {
    let state = State::Waiting { until: moment.now.saturating_add(pause), pause, wake };
    (Job { state, ..job }, vec![Effect::Store, Effect::Wake { after: pause }])
}

fn fail(job: Job, why: String, moment: Moment) -> (Job, Vec<Effect>) {
    let why = shortened(&why);
    let outcome = if is_cancelled(&job) { Ended::Cancelled } else { Ended::Failed(why.clone()) };
    let job = Job { trouble: Some(why), ..job };
    match job.over.clone() {
        // It was settled before, and the device does not leave the trial: no reason to hold the lane for ever.
        Some(settled) => finish(job, settled, moment),
        None if leaving::must(&job) => leaving::begin(job, outcome),
        None => finish(job, outcome, moment),
    }
}

fn finish(job: Job, outcome: Ended, moment: Moment) -> (Job, Vec<Effect>) {
    let store = (!planted::on(Bug::EndNotStored)).then_some(Effect::Store);
    let effects = store.into_iter().chain([Effect::Release]).collect();
    (Job { state: State::Ended { outcome, at: moment.now }, ..job }, effects)
}

/// Whose doing it was that a run came to nothing, which says how soon the next one begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The power went, or somebody restarted the device: the job goes on at once, and this is no strike. An
    /// update on a vehicle sees many such days.
    Device,
    /// The host went down: perhaps the job's doing. At once for the first three, after a pause from then on, so
    /// that a host that is brought down again and again has time to be mended.
    Host,
    /// The job's own.
    Job,
}

fn setback(job: Job, cause: Cause, why: String, moment: Moment, settings: &Settings) -> (Job, Vec<Effect>) {
    let strikes = job.strikes.saturating_add(u32::from(cause != Cause::Device));
    let setbacks = job.setbacks.saturating_add(1);
    let job = Job { strikes, setbacks, trouble: Some(shortened(&why)), ..job };
    if strikes >= settings.strikes {
        let why = format!("given up after {strikes} runs in a row without progress; the last: {why}");
        return fail(job, why, moment);
    }
    if setbacks >= settings.setbacks {
        return fail(
            job,
            format!("given up after {setbacks} runs that came to nothing; the last: {why}"),
            moment,
        );
    }
    let failures = match cause {
        Cause::Device => 0,
        Cause::Host => strikes.saturating_sub(3),
        // Not the strikes, which a new checkpoint clears.
        Cause::Job => job.attempt.max(1),
    };
    if failures == 0 {
        // Stored when the run begins.
        return (ready(job, Wake::Interrupted), vec![]);
    }
    wait(job, milliseconds(settings.backoff.pause(failures, moment.random)), Wake::Interrupted, moment)
}

fn ask_again(job: Job, why: String, pause: u64, moment: Moment, settings: &Settings) -> (Job, Vec<Effect>) {
    let strikes = job.strikes.saturating_add(1);
    let job = Job { strikes, trouble: Some(shortened(&why)), ..job };
    if strikes >= settings.strikes {
        return fail(
            job,
            format!("the device was not restarted, asked {strikes} times; the last: {why}"),
            moment,
        );
    }
    if pause > 0 {
        (job, vec![Effect::Store, Effect::Wake { after: pause }])
    } else {
        (job, vec![Effect::Store, Effect::FlushOutbox, Effect::Restart])
    }
}
