//! Jobs: work that outlives the call that began it, the instance, the plugin's version and the boot.
//!
//! A job is *run again from its last checkpoint*. Everything that can happen to it is an [`Event`]; [`step`] is
//! the one place that says what then follows, as a new [`Job`] and the [`Effect`]s to perform, in order. Nothing
//! is done here: the host's `job` module performs the effects, and the tests of [`machine`] cut the power
//! between any two of them.
//!
//! [`step`]: machine::step

mod backoff;
mod cancel;
mod id;
mod lane;
mod leaving;
mod machine;
mod record;
mod spec;
mod wake;

pub use backoff::Backoff;
pub use id::{ID_LIMIT, JobId, JobIdError};
pub use lane::{LIVE_LIMIT, NoRoom, room};
pub use machine::{Effect, Event, Moment, RunEnd, Settings, accept, step};
pub use record::{Before, Cancel, Ended, Job, JobSummary, State};
pub use spec::{
    CHECKPOINT_LIMIT, Checkpoint, CheckpointError, INPUT_LIMIT, JobSpec, NAME_LIMIT, PHASE_LIMIT, Progress,
    SpecError,
};
pub use wake::{Boot, Wake, remaining};

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod table;
#[cfg(test)]
mod testing;
