//! An operator's cancel: from its order to the end of the job.
//!
//! Cancelling is stored before anything else follows, and never goes away: whatever is cut afterwards, the job ends as
//! cancelled, whatever its plugin returns. In this order, each step durable before the next:
//!
//! 1. *Ordered*. The run under way is asked to stop, and cut when it does not; from here on nothing is armed. A pause
//!    or a restart that was to come does not.
//! 2. What the job may have armed is given up. Where the device already runs from it, it is restarted into the good
//!    slot first, so that the plugin never tells of an end that is not true yet.
//! 3. *Told*. One more run is begun, in which the plugin learns of it and can report. However that one ends, the job
//!    has ended; but for a failure that may pass, after which it is begun again, [`TELLINGS`] times in all: a report that
//!    one full disk refused would never be made. A run that began before the order does not count: it may know nothing
//!    of it.
//!
//! Why one run more and not a call of its own: a plugin already knows how to be run again, and one that has never
//! heard of cancelling meets refusals with a clear text and ends.

use super::machine::{Effect, RunEnd, ready, shortened};
use super::{Cancel, Job, State, Wake};
use crate::planted::{self, Bug};

/// How often a plugin is run to learn of it, while it fails for a reason that may pass.
const TELLINGS: u32 = 8;

/// What follows on a run of a cancelled job.
pub(super) enum After {
    /// It was the last one.
    End(Job),
    /// The plugin is still to be told.
    Tell(Job),
    /// It was told and could not do what it had to; it is told again, after a pause.
    TellAgain(Job),
}

/// Whether it was cancelled, and may have ended of it.
pub(super) fn is_cancelled(job: &Job) -> bool {
    job.cancel.is_some()
}

/// The order. A job that has ended or is about to, or was cancelled before, stays as it is.
pub(super) fn order(job: Job) -> (Job, Vec<Effect>) {
    if job.has_ended() || job.over.is_some() || is_cancelled(&job) {
        return (job, vec![]);
    }
    let job = Job { cancel: Some(Cancel::Ordered), ..job };
    let job = match job.state {
        State::Waiting { .. } | State::Restarting { .. } => ready(job, Wake::Interrupted),
        _ => job,
    };
    if planted::on(Bug::CancelUnstored) {
        return (job, vec![]);
    }
    (job, vec![Effect::Store])
}

/// The last run begins: its plugin is told.
pub(super) fn told(job: Job) -> Job {
    // What was tried before the order does not count.
    let attempt = if job.cancel == Some(Cancel::Told) { job.attempt } else { 0 };
    Job { cancel: Some(Cancel::Told), attempt, ..job }
}

/// The job after this run.
pub(super) fn run_ended(job: Job, end: &RunEnd) -> After {
    let trouble = match end {
        RunEnd::Transient(why) | RunEnd::Permanent(why) | RunEnd::Trapped(why) => Some(shortened(why)),
        RunEnd::TimedOut => {
            Some("the run was cut, since it did not stop when the job was cancelled".to_owned())
        }
        _ => job.trouble.clone(),
    };
    match job.cancel {
        Some(Cancel::Told) if matches!(end, RunEnd::Transient(_)) && job.attempt < TELLINGS => {
            After::TellAgain(Job { trouble, ..job })
        }
        Some(Cancel::Told) => After::End(Job { attempt: 0, trouble, ..job }),
        _ => After::Tell(Job { attempt: 0, trouble, ..job }),
    }
}
