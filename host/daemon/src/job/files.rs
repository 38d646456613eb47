//! Jobs on the disk: one file a job, named after it, in a directory of their own.
//!
//! Ended jobs are kept for people to look at, the youngest [`KEPT`] of them.

use std::time::Duration;

use hotshoe_core::job::{Job, JobId};

use super::runner::Pause;
use crate::disk;
use crate::state::{StateDir, StateError};

/// How many ended jobs are kept.
pub(super) const KEPT: usize = 16;
/// How often a job is tried to be read.
const ATTEMPTS: u32 = 4;
/// The pause after the first attempt; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The directory of jobs. Only one may be open on a directory.
#[derive(Clone)]
pub(super) struct Files {
    state: StateDir,
}

impl Files {
    pub(super) fn new(state: StateDir) -> Files {
        Files { state }
    }

    /// Writes a job; durable when it returns. Once begun it is finished, also where the future is dropped.
    pub(super) async fn store(&self, job: &Job) -> Result<(), StateError> {
        let (state, job) = (self.state.clone(), job.clone());
        blocking(move || state.write(job.id.as_str(), &job)).await
    }

    /// Forgets a job.
    pub(super) async fn remove(&self, id: &JobId) -> Result<(), StateError> {
        let (state, id) = (self.state.clone(), id.clone());
        blocking(move || state.remove(id.as_str())).await
    }

    /// Reads all jobs. What is no job, and what the disk does not give after a few attempts, is left alone, with an error in
    /// the log: one bad sector under a job that is long over must not keep the device off its hub.
    pub(super) async fn load(&self, pause: &Pause) -> Result<Vec<Job>, StateError> {
        let state = self.state.clone();
        let mut jobs = Vec::new();
        for name in blocking(move || state.names()).await? {
            match self.read(&name, pause).await {
                Ok(Some(job)) if job.id.as_str() == name => jobs.push(job),
                Ok(Some(job)) => {
                    tracing::error!(file = name, job = %job.id, "file holds a job of another name; ignored");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, file = name, "a job cannot be read; going on without it")
                }
            }
        }
        Ok(jobs)
    }

    async fn read(&self, name: &str, pause: &Pause) -> Result<Option<Job>, StateError> {
        let mut wait = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.read_once(name).await {
                Err(error) => {
                    tracing::warn!(%error, file = name, "a job cannot be read at the moment; tried again")
                }
                read => return read,
            }
            pause(wait).await;
            wait = wait.saturating_mul(2);
        }
        self.read_once(name).await
    }

    async fn read_once(&self, name: &str) -> Result<Option<Job>, StateError> {
        let (state, name) = (self.state.clone(), name.to_owned());
        blocking(move || state.read(&name)).await
    }
}

/// Those of the ended jobs that are too many, the oldest first.
pub(super) fn superfluous<'a>(jobs: impl Iterator<Item = &'a Job>) -> Vec<JobId> {
    let mut ended: Vec<((u64, u64), &JobId)> = jobs.filter_map(|job| Some((job.end()?, &job.id))).collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT);
    ended.into_iter().take(surplus).map(|(_, id)| id.clone()).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    match disk::blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StateError::Io {
            name: "jobs".to_owned(),
            action: "reach",
            source: std::io::Error::other(error.to_string()),
        }),
    }
}
