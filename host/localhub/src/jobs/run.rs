//! The one task that carries jobs out, one after the other.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{DeviceState, Job, Kind, Row, State, Status};
use crate::clock;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::query::{self, Collection};
use crate::throttle::Operation;

/// Devices at once: calls mostly wait, changes share their flushes.
const CALLS: usize = 256;
const CHANGES: usize = 64;
/// Names read at once.
const NAMES: usize = 1_000;
/// After the database failed.
const AGAIN: Duration = Duration::from_secs(1);
/// The clock may be set meanwhile; so long is the longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Carries out jobs until `stop`; whatever is under way then goes on with the next hub on the same data.
pub(crate) async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    stop.run_until_cancelled(carry_out_all(&hub)).await;
}

async fn carry_out_all(hub: &Arc<Hub>) {
    loop {
        let done = match hub.blocking(Hub::next_job).await {
            Ok(None) => {
                hub.jobs.wake.notified().await;
                Ok(())
            }
            Ok(Some((id, start))) => match until(start) {
                Some(wait) => {
                    drop(tokio::time::timeout(wait.min(LONGEST_SLEEP), hub.jobs.wake.notified()).await);
                    Ok(())
                }
                None => carry_out(hub, &id).await,
            },
            Err(fault) => Err(fault),
        };
        if let Err(fault) = done {
            tracing::error!(%fault, "a job cannot go on; it is tried again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// `None` when the time has come.
fn until(time: Timestamp) -> Option<Duration> {
    Duration::try_from(time.duration_since(clock::now())).ok().filter(|wait| !wait.is_zero())
}

async fn carry_out(hub: &Arc<Hub>, id: &str) -> Result<(), Fault> {
    let (job, state) = hub.job(id).await?;
    let stop = CancellationToken::new();
    hub.jobs.set_running(Some((id.to_owned(), stop.clone())));
    let done = carry_out_one(hub, &Arc::new(job), state, &stop).await;
    hub.jobs.set_running(None);
    done
}

async fn carry_out_one(
    hub: &Arc<Hub>,
    job: &Arc<Job>,
    state: State,
    stop: &CancellationToken,
) -> Result<(), Fault> {
    let state =
        if state.status == Status::Running { go_on(hub, job).await? } else { begin(hub, job).await? };
    if state.status != Status::Running {
        return Ok(()); // cancelled before it began
    }
    hub.tell_job(&job.job_id, Status::Running);
    let began = state.began.unwrap_or(state.start);
    let deadline =
        began.saturating_add(jiff::SignedDuration::from_secs(job.max_seconds.try_into().unwrap_or(i64::MAX)));
    let deadline = deadline.unwrap_or(Timestamp::MAX);
    let left = until(deadline).unwrap_or_default();
    match stop.run_until_cancelled(tokio::time::timeout(left, see_to_all(hub, job))).await {
        None => Ok(()), // cancelled, and written down so
        Some(Ok(done)) => {
            done?;
            end(hub, job, Status::Completed, None).await
        }
        Some(Err(_elapsed)) => {
            let reason =
                format!("the job's {} seconds were over before all devices were seen to", job.max_seconds);
            end(hub, job, Status::Failed, Some(reason)).await
        }
    }
}

/// Finds the devices, as they are now.
async fn begin(hub: &Arc<Hub>, job: &Arc<Job>) -> Result<State, Fault> {
    let job = Arc::clone(job);
    hub.blocking(move |hub| {
        let condition = query::condition(&job.condition)?;
        let mut devices = Vec::new();
        query::select(hub, Collection::Devices, &condition, None, &mut |id, _| {
            devices.push(id.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        let now = clock::now();
        hub.store.begin_job(&job.job_id, &devices, &clock::text(now), |state| {
            let waits = !state.status.is_ended();
            if waits {
                state.status = Status::Running;
                state.began = Some(now);
            }
            waits
        })
    })
    .await
}

/// After a restart: calls that had begun are not made again.
async fn go_on(hub: &Arc<Hub>, job: &Arc<Job>) -> Result<State, Fault> {
    let job = Arc::clone(job);
    hub.blocking(move |hub| {
        let now = clock::now_text();
        let lost =
            Fault::Internal("the hub ended during the call; whether the device got it is not known".into());
        let end_row = |row: &mut Row| {
            if row.state == DeviceState::Running {
                row.end(DeviceState::Failed, Some(&lost), &now);
            }
        };
        hub.store.end_rows(&job.job_id, end_row, |_| Ok(()))
    })
    .await
}

async fn see_to_all(hub: &Arc<Hub>, job: &Arc<Job>) -> Result<(), Fault> {
    let at_once = if job.kind == Kind::Method { CALLS } else { CHANGES };
    let mut after = String::new();
    loop {
        let (id, from) = (job.job_id.clone(), after.clone());
        let names = hub.blocking(move |hub| Ok(hub.store.pending(&id, &from, NAMES)?)).await?;
        let Some(last) = names.last() else { return Ok(()) };
        after.clone_from(last);
        // The hub's own trouble with one device must not leave it pending for ever.
        // One after the other they wait for their turn, and only then are so many seen to at once.
        let failed = stream::iter(names)
            .then(|device| in_turn(Arc::clone(hub), device))
            .map(|device| async move {
                let seen = hub.see_to(job, device.clone()).await;
                seen.err().map(|fault| (device, fault))
            })
            .buffer_unordered(at_once)
            .filter_map(std::future::ready)
            .collect::<Vec<_>>()
            .await;
        for (device, fault) in failed {
            give_up(hub, job, device, fault).await?;
        }
    }
}

async fn in_turn(hub: Arc<Hub>, device: String) -> String {
    hub.throttle.turn(Operation::JobWork).await;
    device
}

async fn give_up(hub: &Arc<Hub>, job: &Job, device: String, fault: Fault) -> Result<(), Fault> {
    tracing::warn!(job = job.job_id, device, %fault, "a device of a job is given up");
    let id = job.job_id.clone();
    hub.blocking(move |hub| {
        hub.store.change_row(&id, &device, |row| {
            if !row.is_ended() {
                row.end(DeviceState::Failed, Some(&fault), &clock::now_text());
            }
            Ok(())
        })
    })
    .await
}

async fn end(hub: &Arc<Hub>, job: &Arc<Job>, status: Status, failure: Option<String>) -> Result<(), Fault> {
    let ended = Arc::clone(job);
    let state = hub
        .blocking(move |hub| {
            let now = clock::now();
            let text = clock::text(now);
            let late = Fault::GatewayTimeout(Duration::from_secs(ended.max_seconds));
            let end_row = |row: &mut Row| {
                if !row.is_ended() {
                    row.end(DeviceState::Failed, Some(&late), &text);
                }
            };
            hub.store.end_rows(&ended.job_id, end_row, |state| {
                if state.status == Status::Running {
                    state.status = status;
                    state.ended = Some(now);
                    state.failure = failure;
                }
                Ok(())
            })
        })
        .await?;
    hub.tell_job(&job.job_id, state.status);
    Ok(())
}
