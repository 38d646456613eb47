//! Jobs: performs what `hotshoe_core::job` decides.
//!
//! Promise: once [`Jobs::accept`] has returned, the job is on the disk and will be run until it has ended, over
//! `kill -9`, power cuts and restarts of the device. Each job has one task (`life`) that performs the machine's
//! effects in their order and waits for each to be finished; nothing else writes the job's file. A run is the
//! future that a [`Guest`] gives; it may be dropped at any moment, and the machine treats that as any other cut.
//!
//! Why one task a job and not one loop for all: a run takes minutes, and the order of effects is then simply the
//! order of statements.
//!
//! A job outlives the version of the plugin that began it: which version runs it is `stand`'s question.
//!
//! It does not know what a guest is made of, nor what a job does.

mod accepted;
mod cancel;
mod files;
mod guest;
mod life;
mod restart;
mod runner;
mod slots;
mod stand;
#[cfg(test)]
mod tests;
mod twin;

pub use accepted::Accepted;
pub use cancel::{ActError, CancelError};
pub use guest::{Adoption, Doing, Guest, JobHandle, JobRun, SaveError};
pub use hotshoe_core::job::{
    Boot, Checkpoint, JobId, JobSpec, JobSummary, Progress, RunEnd, Settings as MachineSettings, Wake,
};
pub use restart::{Restart, RestartCommand};
pub use runner::{Clock, JobSettings, Jobs, JobsError, OpenJob, Pause};
pub use slots::{NoSlots, Slots};
pub use stand::{Guests, Stand};
