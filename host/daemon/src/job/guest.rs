//! Who runs a job, and what a run may ask of the host.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hotshoe_core::job::{Checkpoint, CheckpointError, Event, JobId, Progress, RunEnd, Wake};
use hotshoe_core::manifest::PluginName;
use hotshoe_core::planted::{self, Bug};
use semver::Version;
use serde_json::Value;

use super::life::Seat;
use crate::state::StateError;

/// Something that a guest does.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Runs jobs of one version of a plugin. The futures may be dropped at any moment and must then leave nothing running.
pub trait Guest: Send + Sync + 'static {
    /// One run of a job.
    fn run(&self, run: JobRun) -> Doing<RunEnd>;

    /// Asks whether it goes on with a job of another version from this checkpoint. Changes nothing.
    fn adopt(&self, from: Version, checkpoint: Option<Checkpoint>) -> Doing<Adoption>;
}

/// What a version says to the checkpoint of another.
#[derive(Clone, PartialEq, Debug)]
pub enum Adoption {
    /// It goes on from this one.
    Taken(Option<Checkpoint>),
    /// It cannot, and why.
    Refused(String),
    /// It failed when it was asked.
    Failed(String),
}

/// What a run is given.
#[derive(Clone)]
pub struct JobRun {
    /// The job's name.
    pub id: JobId,
    /// Whose it is.
    pub plugin: PluginName,
    /// The version of the plugin that runs it.
    pub version: Version,
    /// What kind of job it is, in the plugin's words.
    pub kind: String,
    /// What it was announced with.
    pub input: Value,
    /// Why it runs now.
    pub wake: Wake,
    /// How often it was begun since the last run that ended well, this run included: 1 and up.
    pub attempt: u32,
    /// What was saved last, by whichever run and boot.
    pub checkpoint: Option<Checkpoint>,
    /// The way back to the host.
    pub handle: JobHandle,
}

/// Why a checkpoint was not saved; the one before still stands.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It is over a limit. No retry helps.
    #[error(transparent)]
    TooLarge(#[from] CheckpointError),
    /// The disk refused. A retry may help.
    #[error("the checkpoint was not saved: {0}")]
    Disk(#[from] StateError),
    /// The run is over: it was cut, or took too long. No retry helps.
    #[error("the checkpoint was not saved: the run is over")]
    Over,
}

/// The way from a run back to its host. Good for one run; afterwards it refuses.
#[derive(Clone)]
pub struct JobHandle {
    pub(super) seat: Arc<Seat>,
    /// The number of the run that it was made for.
    pub(super) run: u64,
    /// The version that runs.
    pub(super) version: Version,
}

impl JobHandle {
    /// The job's name.
    pub fn id(&self) -> &JobId {
        &self.seat.id
    }

    /// Replaces the checkpoint. Durable when it returns.
    ///
    /// Where the future is dropped the checkpoint may be saved or not, and nothing that the host does with the
    /// job afterwards overtakes it.
    pub async fn save(&self, checkpoint: Checkpoint) -> Result<(), SaveError> {
        checkpoint.validate()?;
        let handle = self.clone();
        let saving = tokio::spawn(async move {
            let mut job = handle.seat.job.lock().await;
            if !handle.is_current() {
                return Err(SaveError::Over);
            }
            let (next, effects) = handle.seat.decide(job.clone(), Event::Saved(checkpoint));
            if effects.is_empty() {
                return Err(SaveError::Over);
            }
            if !planted::on(Bug::CheckpointLost) {
                handle.seat.jobs.files.store(&next).await?;
            }
            handle.seat.settle(&mut job, next);
            Ok(())
        });
        saving.await.unwrap_or(Err(SaveError::Over))
    }

    /// Shows progress in the twin: coalesced, at most once a second, never written to the disk; may be lost.
    pub fn progress(&self, progress: Progress) {
        if self.is_current() {
            self.seat.show(&progress);
        }
    }

    /// Whether the host would like the run to return [`RunEnd::Suspended`] soon: it shuts down, or another version of
    /// the plugin is live and has not refused the job, or an operator has cancelled it.
    pub fn should_suspend(&self) -> bool {
        self.seat.jobs.draining.is_cancelled()
            || self.is_cancelled()
            || self.seat.is_wanted_elsewhere(&self.version)
    }

    pub(super) fn is_current(&self) -> bool {
        self.seat.run() == Some(self.run)
    }
}
