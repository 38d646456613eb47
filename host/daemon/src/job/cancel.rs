//! An operator's cancel: stored while the job goes on, then told to whatever the job is doing.
//!
//! Promise: once [`Jobs::cancel`] has returned, the job is cancelled on the disk, and arms and confirms nothing any
//! more. What arms or confirms takes the job's own lock for as long as that lasts ([`JobHandle::arm`],
//! [`JobHandle::confirm`]), and so does the cancel: one of the two comes first, and the other is refused. What the job
//! holds of the slots is taken away at once, so that a write under way stops at its next piece.
//!
//! What then follows is decided in `hotshoe_core::job`; performed in `life`. A run that does not stop within
//! [`JobSettings::grace`](super::JobSettings::grace) is cut, and a plugin that is not there for so long is not waited
//! for.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::job::{Event, JobId, JobSummary};

use super::guest::JobHandle;
use super::life::Seat;
use super::runner::Jobs;
use crate::disk::blocking;
use crate::state::StateError;

/// Why a job was not cancelled. It goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("there is no job {0} on this device; `hotshoe job list` shows those that are")]
    Unknown(JobId),
    /// It is over.
    #[error("job {id} is {state} already")]
    Ended {
        /// The job.
        id: JobId,
        /// `done`, `failed` or `cancelled`.
        state: String,
    },
    /// Its image runs and is confirmed.
    #[error(
        "job {id} has confirmed the image in slot {slot:?}: it is done; to go back, order the older image"
    )]
    Confirmed {
        /// The job.
        id: JobId,
        /// The slot.
        slot: String,
    },
    /// The disk refused.
    #[error("job {id} goes on: its cancel was not stored: {source}")]
    Disk {
        /// The job.
        id: JobId,
        /// Why.
        source: StateError,
    },
    /// The process ends.
    #[error("the device is shutting down; cancel again after its start")]
    ShuttingDown,
}

impl CancelError {
    /// The name for programs. Stays as it is over versions.
    pub fn code(&self) -> &'static str {
        match self {
            CancelError::Unknown(_) => "unknownJob",
            CancelError::Ended { .. } => "jobEnded",
            CancelError::Confirmed { .. } => "jobConfirmed",
            CancelError::Disk { .. } => "disk",
            CancelError::ShuttingDown => "shuttingDown",
        }
    }

    /// A status in the manner of HTTP.
    pub fn status(&self) -> i32 {
        match self {
            CancelError::Unknown(_) => 404,
            CancelError::Ended { .. } | CancelError::Confirmed { .. } => 409,
            CancelError::Disk { .. } => 507,
            CancelError::ShuttingDown => 503,
        }
    }
}

/// Why the job may not do what it was about to.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// An operator has cancelled it.
    #[error("job {0} was cancelled by the operator; report and return")]
    Cancelled(JobId),
    /// The run is over.
    #[error("the run is over")]
    Over,
    /// The disk refused.
    #[error("the job was not stored: {0}")]
    Disk(#[from] StateError),
}

impl Jobs {
    /// Cancels a job. Durable when it returns; cancelling it again is well. How the job stands now comes back.
    ///
    /// # Errors
    /// See [`CancelError`].
    pub async fn cancel(&self, id: &JobId) -> Result<JobSummary, CancelError> {
        let seat = match self.seat(id) {
            Some(seat) => seat,
            None => match self.list().into_iter().find(|job| job.id == *id) {
                Some(job) => return Err(CancelError::Ended { id: job.id, state: job.state }),
                None => return Err(CancelError::Unknown(id.clone())),
            },
        };
        // Finished even where the caller goes away.
        let cancelling = tokio::spawn(async move { seat.cancel().await });
        cancelling.await.unwrap_or(Err(CancelError::ShuttingDown))
    }
}

impl Seat {
    async fn cancel(self: Arc<Self>) -> Result<JobSummary, CancelError> {
        let id = self.id.clone();
        let mut job = self.job.lock().await;
        if job.has_ended() {
            return Err(CancelError::Ended { id, state: job.summary().state });
        }
        if job.over.is_some() {
            // Only the restart into the good slot is still to come.
            return Err(CancelError::Ended { id, state: "failed".to_owned() });
        }
        if let Some(slot) = job.armed.clone().filter(|_| job.cancel.is_none()) {
            let (slots, asked) = (Arc::clone(&self.jobs.slots), slot.clone());
            if blocking(move || slots.confirmed(&asked)).await.unwrap_or_default() {
                return Err(CancelError::Confirmed { id, slot });
            }
        }
        let (next, effects) = self.decide(job.clone(), Event::Cancel);
        if !effects.is_empty() {
            let stored = self.jobs.files.store(&next).await;
            stored.map_err(|source| CancelError::Disk { id: id.clone(), source })?;
            self.settle(&mut job, next);
            tracing::warn!(job = %id, "the job was cancelled by the operator");
        }
        self.cancelled.cancel();
        let summary = job.summary();
        drop(job);
        self.jobs.release(&id).await;
        Ok(summary)
    }

    /// Ends once the job was cancelled and the time that was left to it since is over.
    pub(super) async fn overdue(&self) {
        self.cancelled.cancelled().await;
        (self.jobs.settings.pause)(self.jobs.settings.grace).await;
    }
}

impl JobHandle {
    /// Whether an operator has cancelled the job.
    pub fn is_cancelled(&self) -> bool {
        self.seat.cancelled.is_cancelled()
    }

    /// Nothing, or that the job was cancelled.
    ///
    /// # Errors
    /// [`ActError::Cancelled`].
    pub fn check(&self) -> Result<(), ActError> {
        if self.is_cancelled() { Err(ActError::Cancelled(self.id().clone())) } else { Ok(()) }
    }

    /// Does something that may be dropped at any moment, unless the job is cancelled meanwhile.
    ///
    /// # Errors
    /// [`ActError::Cancelled`].
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, ActError> {
        tokio::select! {
            biased;
            () = self.seat.cancelled.cancelled() => Err(ActError::Cancelled(self.id().clone())),
            done = work => Ok(done),
        }
    }

    /// Arms a trial boot of this slot by `act`: noted with the job first, and never after a cancel.
    ///
    /// # Errors
    /// See [`ActError`]; `act` was not begun then.
    pub async fn arm<T: Send + 'static>(
        &self,
        slot: &str,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ActError> {
        self.locked(Event::Arming(slot.to_owned()), act).await
    }

    /// Confirms the running image by `act`, never after a cancel; no cancel is taken meanwhile.
    ///
    /// # Errors
    /// See [`ActError`]; `act` was not begun then.
    pub async fn confirm<T: Send + 'static>(
        &self,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ActError> {
        let handle = self.clone();
        let acting = tokio::spawn(async move {
            let _alone = handle.seat.job.lock().await;
            if !handle.is_current() {
                return Err(ActError::Over);
            }
            handle.check()?;
            Ok(act.await)
        });
        acting.await.unwrap_or(Err(ActError::Over))
    }

    /// Notes that the device's check has put off what the job wants; how often in a row it has done so now.
    ///
    /// # Errors
    /// See [`ActError`].
    pub async fn postponed(&self) -> Result<u32, ActError> {
        self.locked(Event::Postponed, async {}).await?;
        Ok(self.seat.job.lock().await.postponed)
    }

    /// Says that the device's policy puts off what the job wants for so long. A run that now ends with a transient
    /// failure is begun again after this time, and it is no attempt.
    pub fn hold(&self, pause: Duration, why: String) {
        self.seat.hold.store(Some(Arc::new((pause, why))));
    }

    /// Stores what an event makes of the job, then acts; nobody else changes the job meanwhile.
    async fn locked<T: Send + 'static>(
        &self,
        event: Event,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ActError> {
        let handle = self.clone();
        let acting = tokio::spawn(async move {
            let mut job = handle.seat.job.lock().await;
            if !handle.is_current() {
                return Err(ActError::Over);
            }
            let (next, effects) = handle.seat.decide(job.clone(), event);
            if effects.is_empty() {
                handle.check()?;
                return Err(ActError::Over);
            }
            handle.seat.jobs.files.store(&next).await?;
            handle.seat.settle(&mut job, next);
            Ok(act.await)
        });
        acting.await.unwrap_or(Err(ActError::Over))
    }
}
