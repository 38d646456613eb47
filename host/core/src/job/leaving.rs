//! The end of a job that has armed a trial boot and will not confirm it.
//!
//! Promise: once such a job has ended, its trial is given up and the device runs from the good slot. Without that the
//! device would stay on an image that nobody confirms: every slot is then either running or what is fallen back to, and
//! the next update is refused until somebody restarts the device.
//!
//! In this order, each step durable before the next: how the job ends is settled ([`Job::over`]), and its plugin is not run
//! again; what it armed is given up; where the device runs from it, it is restarted; only then the job has ended and its
//! lane is free. So an order that comes meanwhile meets a taken lane, and not slots that cannot be written. A device
//! that cannot be restarted ends the job all the same, after as many strikes as any job has.
//!
//! A job that is *done* is taken at its word: a plugin may arm a trial and leave the rest to others.

use super::cancel::is_cancelled;
use super::machine::{Effect, ready};
use super::{Ended, Job, State, Wake};
use crate::planted::{self, Bug};

/// Whether a job that fails now has something to leave.
pub(super) fn must(job: &Job) -> bool {
    job.armed.is_some() && !planted::on(Bug::TrialLeft)
}

/// The job is as good as over.
pub(super) fn begin(job: Job, outcome: Ended) -> (Job, Vec<Effect>) {
    // What was held against the job is not held against the restart.
    let job = Job { over: Some(outcome), attempt: 0, strikes: 0, setbacks: 0, ..job };
    (ready(job, Wake::Interrupted), vec![Effect::Store])
}

/// What was armed is given up, for a job that was cancelled or is over.
pub(super) fn reverted(job: Job, boot_id: String, on_trial: bool) -> (Job, Vec<Effect>) {
    if !(is_cancelled(&job) || job.over.is_some()) || job.armed.is_none() {
        return (job, vec![]);
    }
    let job = Job { armed: None, ..job };
    if !on_trial {
        return (job, vec![Effect::Store]);
    }
    let state = State::Restarting { boot_id, wanted: None };
    (Job { state, ..job }, vec![Effect::Store, Effect::FlushOutbox, Effect::Restart])
}

impl Job {
    /// Whether a trial boot is to be given up before anything else happens to the job.
    pub fn must_give_up(&self) -> bool {
        (is_cancelled(self) || self.over.is_some()) && self.armed.is_some() && self.is_ready()
    }

    /// Whether the next step is the host's alone, with or without the job's plugin.
    pub fn needs_nobody(&self) -> bool {
        self.must_give_up() || (self.over.is_some() && self.is_ready())
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }
}
