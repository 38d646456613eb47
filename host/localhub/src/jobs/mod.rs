//! Jobs: a direct method or a twin change for all devices that match a condition (`iothub.md` §6.7).
//!
//! What was ordered, how far it is and a row for each device are in the database, and every step is written before it
//! is told: a hub that was killed goes on where it was. A twin's change and its row are one transaction, so it
//! happens once. A method cannot be taken back, so a call that had begun when the hub died is not repeated: its row
//! fails and says so (at most once, as direct methods always are). One job runs at a time, as in IoT Hub's smallest
//! tier, and within it many devices at once. Ended jobs are kept for thirty days.

mod device;
mod run;
mod show;
mod wanted;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use self::run::run;
pub(crate) use self::show::{job as shown, row as shown_row};
pub(crate) use self::wanted::Wanted;
use crate::clock;
use crate::events::What;
use crate::fault::Fault;
use crate::hub::Hub;

/// How many jobs are kept, ended ones included.
const MOST: usize = 1_000;
/// How long an ended job is kept.
const KEPT_SECONDS: i64 = 30 * 24 * 3600;

/// What was ordered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) kind: Kind,
    /// What stands after `WHERE`, or `*`.
    pub(crate) condition: String,
    pub(crate) created: Timestamp,
    pub(crate) start: Timestamp,
    /// From the moment at which it begins to run.
    pub(crate) max_seconds: u64,
    /// `cloudToDeviceMethod`, as it was written.
    #[serde(default)]
    pub(crate) method: Option<Box<RawValue>>,
    /// `updateTwin`.
    #[serde(default)]
    pub(crate) update: Option<Value>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[serde(rename = "scheduleDeviceMethod")]
    Method,
    #[serde(rename = "scheduleUpdateTwin")]
    Twin,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Method => "scheduleDeviceMethod",
            Self::Twin => "scheduleUpdateTwin",
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) kind: Kind,
    pub(crate) created: Timestamp,
    pub(crate) start: Timestamp,
    #[serde(default)]
    pub(crate) began: Option<Timestamp>,
    #[serde(default)]
    pub(crate) ended: Option<Timestamp>,
    #[serde(default)]
    pub(crate) failure: Option<String>,
    #[serde(default)]
    pub(crate) counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Due, behind others.
    Queued,
    /// Its time is to come.
    Scheduled,
    Running,
    /// Every device was seen to; some may have failed.
    Completed,
    /// Its time ran out, or it could not be carried out.
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// `deviceJobStatistics`. Devices of a cancelled job that were not seen to are in none but the first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) device_count: u64,
    pub(crate) failed_count: u64,
    pub(crate) succeeded_count: u64,
    pub(crate) running_count: u64,
    pub(crate) pending_count: u64,
}

impl Counts {
    /// A row went from one state to another.
    pub(crate) fn moved(&mut self, from: DeviceState, to: DeviceState) {
        if let Some(count) = self.of(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of(to) {
            *count += 1;
        }
    }

    fn of(&mut self, state: DeviceState) -> Option<&mut u64> {
        match state {
            DeviceState::Pending => Some(&mut self.pending_count),
            DeviceState::Running => Some(&mut self.running_count),
            DeviceState::Completed => Some(&mut self.succeeded_count),
            DeviceState::Failed => Some(&mut self.failed_count),
            DeviceState::Cancelled => None,
        }
    }
}

/// How far a job is with one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) state: DeviceState,
    pub(crate) created: String,
    pub(crate) updated: String,
    #[serde(default)]
    pub(crate) began: Option<String>,
    #[serde(default)]
    pub(crate) ended: Option<String>,
    /// `{"status": …, "payload": …}` of a method that was answered.
    #[serde(default)]
    pub(crate) answer: Option<Value>,
    /// Why it failed: the fault's name and text.
    #[serde(default)]
    pub(crate) error: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeviceState {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl Row {
    pub(crate) fn new(kind: Kind, now: &str) -> Self {
        Self {
            kind,
            state: DeviceState::Pending,
            created: now.to_owned(),
            updated: now.to_owned(),
            began: None,
            ended: None,
            answer: None,
            error: None,
        }
    }

    fn begin(&mut self, now: &str) -> Result<(), Fault> {
        if self.state != DeviceState::Pending {
            return Err(Fault::Internal("the job went on without this device".into()));
        }
        self.state = DeviceState::Running;
        self.began = Some(now.to_owned());
        self.updated = now.to_owned();
        Ok(())
    }

    fn end(&mut self, state: DeviceState, error: Option<&Fault>, now: &str) {
        self.state = state;
        self.ended = Some(now.to_owned());
        self.updated = now.to_owned();
        self.error = error.map(|error| (error.name().to_owned(), error.to_string()));
    }

    fn is_ended(&self) -> bool {
        !matches!(self.state, DeviceState::Pending | DeviceState::Running)
    }
}

/// What the hub keeps of jobs in memory: how to wake the runner, and how to stop what runs.
#[derive(Default)]
pub(crate) struct Jobs {
    wake: Notify,
    running: Mutex<Option<(String, CancellationToken)>>,
}

impl Jobs {
    fn set_running(&self, job: Option<(String, CancellationToken)>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = job;
    }

    fn stop(&self, id: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = running.as_ref().filter(|(running, _)| running == id) {
            token.cancel();
        }
    }
}

impl Hub {
    /// Takes a job on; it is carried out when its time comes.
    pub(crate) async fn schedule(self: &Arc<Self>, job: Job) -> Result<(Job, State), Fault> {
        let now = clock::now();
        let state = State {
            status: if job.start > now { Status::Scheduled } else { Status::Queued },
            kind: job.kind,
            created: job.created,
            start: job.start,
            began: None,
            ended: None,
            failure: None,
            counts: Counts::default(),
        };
        let taken = self
            .blocking(move |hub| {
                let is_over = |state: &State| {
                    state.ended.is_some_and(|ended| now.as_second() - ended.as_second() > KEPT_SECONDS)
                };
                hub.store.add_job(&job, &state, MOST, is_over)?;
                Ok((job, state))
            })
            .await?;
        self.tell_job(&taken.0.job_id, taken.1.status);
        self.jobs.wake.notify_one();
        Ok(taken)
    }

    /// A job and how far it is.
    pub(crate) async fn job(self: &Arc<Self>, id: &str) -> Result<(Job, State), Fault> {
        let id = id.to_owned();
        self.blocking(move |hub| hub.store.job(&id)?.ok_or(Fault::JobNotFound(id))).await
    }

    /// Ends a job where it is. What devices were asked already they may still do.
    pub(crate) async fn cancel(self: &Arc<Self>, id: &str) -> Result<(), Fault> {
        let job = id.to_owned();
        self.blocking(move |hub| {
            let now = clock::now();
            let text = clock::text(now);
            let end_row = |row: &mut Row| {
                if !row.is_ended() {
                    row.end(DeviceState::Cancelled, None, &text);
                }
            };
            hub.store.end_rows(&job, end_row, |state| {
                if state.status.is_ended() {
                    let text = format!("job {job} cannot be cancelled: it is {}", state.status.name());
                    return Err(Fault::ArgumentInvalid(text));
                }
                state.status = Status::Cancelled;
                state.ended = Some(now);
                Ok(())
            })
        })
        .await?;
        self.jobs.stop(id);
        self.tell_job(id, Status::Cancelled);
        Ok(())
    }

    fn tell_job(&self, id: &str, status: Status) {
        self.events.tell(None, &What::Job { id, status: status.name() });
    }

    /// The job that runs or is to run next: its id, and when it is due.
    fn next_job(&self) -> Result<Option<(String, Timestamp)>, Fault> {
        let mut next: Option<(bool, Timestamp, Timestamp, String)> = None;
        self.store.visit_job_states(None, |id, state| {
            if !state.status.is_ended() {
                // A running one first (there is one at most: it ran when the hub ended), then by time.
                let key = (state.status != Status::Running, state.start, state.created, id.to_owned());
                if next.as_ref().is_none_or(|next| key < *next) {
                    next = Some(key);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next.map(|(waits, start, _, id)| (id, if waits { start } else { Timestamp::UNIX_EPOCH })))
    }
}
