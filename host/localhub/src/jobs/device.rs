//! What a job does for one device.

use std::sync::Arc;

use serde_json::{Value, json};

use super::wanted::change;
use super::{DeviceState, Job, Kind};
use crate::clock;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::invoke::Answered;
use crate::rest::Call;

impl Hub {
    /// Sees to one device and writes down how it went. A fault is the hub's own trouble, not the device's.
    pub(super) async fn see_to(self: &Arc<Self>, job: &Job, device: String) -> Result<(), Fault> {
        match job.kind {
            Kind::Method => self.call_for_job(job, device).await,
            Kind::Twin => self.change_for_job(job, device).await,
        }
    }

    /// Before the call, its row says that it runs: should the hub die during it, nobody calls again.
    async fn call_for_job(self: &Arc<Self>, job: &Job, device: String) -> Result<(), Fault> {
        let name = Name::device(&device)?;
        let text = job.method.as_ref().map_or("{}", |method| method.get());
        let call = Call::read(text)?.invocation()?;
        let (id, row) = (job.job_id.clone(), device.clone());
        self.blocking(move |hub| hub.store.change_row(&id, &row, |row| row.begin(&clock::now_text())))
            .await?;
        let answered = self.invoke_in_turn(&name, call).await;
        let id = job.job_id.clone();
        self.blocking(move |hub| {
            hub.store.change_row(&id, &device, |row| {
                if row.is_ended() {
                    return Ok(()); // cancelled meanwhile
                }
                let state = if answered.is_ok() { DeviceState::Completed } else { DeviceState::Failed };
                row.end(state, answered.as_ref().err(), &clock::now_text());
                row.answer = answered.as_ref().ok().map(shown);
                Ok(())
            })
        })
        .await
    }

    /// The change and its row are one step: after a kill either both are there or neither.
    async fn change_for_job(self: &Arc<Self>, job: &Job, device: String) -> Result<(), Fault> {
        let name = Name::device(&device)?;
        let change = change(job.update.as_ref().unwrap_or(&Value::Null))?;
        let id = job.job_id.clone();
        self.blocking(move |hub| {
            let changed = hub.change_twin_with(&name, &change, false, None, |store, work| {
                let begin = |row: &mut super::Row| row.begin(&clock::now_text());
                let end = |row: &mut super::Row, fault: Option<&Fault>| {
                    let state = if fault.is_none() { DeviceState::Completed } else { DeviceState::Failed };
                    row.end(state, fault, &clock::now_text());
                };
                store.change_with_row(&name, &id, work, begin, end)?
            });
            match changed {
                Err(fault @ Fault::Internal(_)) => Err(fault),
                _ => Ok(()), // refused or done, its row says so
            }
        })
        .await
    }
}

fn shown(answered: &Answered) -> Value {
    let payload: Value = serde_json::from_str(answered.payload.get()).unwrap_or_default();
    json!({"status": answered.status, "payload": payload})
}
