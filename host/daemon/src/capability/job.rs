//! `job`: the running job, seen from inside.
//!
//! The handle is lent for one run and speaks of that run's job alone; whoever has none (a direct method) cannot make
//! one. The rules of checkpoints are `hotshoe_core::job`'s, their storing is `job`'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotshoe_core::job::{Checkpoint, PHASE_LIMIT, Progress, Wake};
use wasmtime::component::Resource;

use super::Context;
use super::allowance::{TOO_OFTEN, cost};
use super::bindings::hotshoe::plugin::job::{self, Error};
use crate::job::{JobRun, SaveError};

/// How long a job waits that asks whether to suspend more often than this.
const ASKING: Duration = Duration::from_millis(1);

/// What stands behind a guest's handle of the running job.
pub struct RunningJob {
    run: Arc<JobRun>,
    /// What `checkpoint` gives back: the last one that was saved, in this run or before.
    checkpoint: Option<Checkpoint>,
    /// When the guest last asked whether it should suspend.
    asked: Option<Instant>,
}

impl RunningJob {
    pub(crate) fn new(run: Arc<JobRun>) -> RunningJob {
        RunningJob { checkpoint: run.checkpoint.clone(), asked: None, run }
    }
}

impl From<Checkpoint> for job::Checkpoint {
    fn from(Checkpoint { phase, schema, bytes }: Checkpoint) -> Self {
        job::Checkpoint { phase, schema, bytes }
    }
}

impl job::Host for Context {}

impl job::HostJob for Context {
    async fn id(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<String> {
        self.entered("job.id");
        Ok(self.table.get(&job)?.run.id.to_string())
    }

    async fn kind(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<String> {
        self.entered("job.kind");
        Ok(self.table.get(&job)?.run.kind.clone())
    }

    async fn input(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<String> {
        self.entered("job.input");
        Ok(self.table.get(&job)?.run.input.to_string())
    }

    async fn wake(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<job::Wake> {
        self.entered("job.wake");
        Ok(match self.table.get(&job)?.run.wake.clone() {
            Wake::Started => job::Wake::Started,
            Wake::Due => job::Wake::Due,
            Wake::Restarted(boot) => {
                job::Wake::Restarted(job::Boot { slot: boot.slot, expected: boot.expected })
            }
            Wake::Interrupted => job::Wake::Interrupted,
        })
    }

    async fn attempt(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<u32> {
        self.entered("job.attempt");
        Ok(self.table.get(&job)?.run.attempt)
    }

    async fn checkpoint(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<Option<job::Checkpoint>> {
        self.entered("job.checkpoint");
        Ok(self.table.get(&job)?.checkpoint.clone().map(job::Checkpoint::from))
    }

    async fn save(
        &mut self,
        job: Resource<RunningJob>,
        checkpoint: job::Checkpoint,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.entered("job.save");
        let job::Checkpoint { phase, schema, bytes } = checkpoint;
        let checkpoint = Checkpoint { phase, schema, bytes };
        let handle = self.table.get(&job)?.run.handle.clone();
        let writes = &self.tenant.device.allowance.writes;
        let saved = if writes.take(cost(checkpoint.bytes.len())).await {
            handle.save(checkpoint.clone()).await.map_err(|error| match error {
                SaveError::TooLarge(error) => Error::TooLarge(error.limit()),
                other => Error::Io(other.to_string()),
            })
        } else {
            Err(Error::Io(TOO_OFTEN.to_owned()))
        };
        if saved.is_ok() {
            self.table.get_mut(&job)?.checkpoint = Some(checkpoint);
        }
        self.answer("job.save", saved)
    }

    async fn progress(&mut self, job: Resource<RunningJob>, progress: job::Progress) -> wasmtime::Result<()> {
        self.entered("job.progress");
        let job::Progress { mut phase, done, total } = progress;
        phase.truncate(phase.floor_char_boundary(PHASE_LIMIT));
        self.table.get(&job)?.run.handle.progress(Progress { phase, done, total });
        Ok(())
    }

    async fn should_suspend(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<bool> {
        self.entered("job.should-suspend");
        // A job that does nothing but ask waits instead of heating the processor.
        let now = Instant::now();
        let asked = self.table.get_mut(&job)?.asked.replace(now);
        if asked.is_some_and(|asked| now.duration_since(asked) < ASKING) {
            tokio::time::sleep(ASKING).await;
        }
        Ok(self.table.get(&job)?.run.handle.should_suspend())
    }

    async fn cancelled(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<bool> {
        self.entered("job.cancelled");
        Ok(self.table.get(&job)?.run.handle.is_cancelled())
    }

    async fn drop(&mut self, job: Resource<RunningJob>) -> wasmtime::Result<()> {
        self.entered("job.drop");
        self.table.delete(job)?;
        Ok(())
    }
}

impl Context {
    /// The handle that is lent to the guest for the run; `None` outside of one.
    pub(crate) fn lend_job(&mut self) -> wasmtime::Result<Option<Resource<RunningJob>>> {
        let Some(run) = self.job.clone() else { return Ok(None) };
        Ok(Some(self.table.push(RunningJob::new(run))?))
    }
}
