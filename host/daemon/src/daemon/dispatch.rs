//! Direct methods to those who answer them.
//!
//! Each call is taken as it comes and has a task of its own, so that a slow plugin holds up nobody else's. How many are open
//! at once is bounded for each plugin by itself and for the host's own methods, so that no number of calls keeps an
//! operator from those; what comes beyond that is answered with 429. Where a method announces a job the order is the
//! machine's: stored, answered, run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::manifest::PluginName;
use hotshoe_core::method::{self, MethodResponse, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::native::Native;
use crate::hub::MethodCall;
use crate::job::{Accepted, Jobs};
use crate::plugin::{Reply, Routes};

/// How many calls of one plugin are open at once, those that wait for a place in it among them; as many of the host.
const OPEN: usize = 32;

/// Takes calls from the hub. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) routes: Routes,
    pub(super) jobs: Jobs,
    pub(super) native: Arc<Native>,
    pub(super) ending: CancellationToken,
    pub(super) open: TaskTracker,
}

impl Dispatch {
    /// Answers calls for as long as the hub session gives any; with 503 once the process is ending.
    pub(super) async fn serve(self, mut calls: mpsc::Receiver<MethodCall>) {
        let mut lanes = Lanes::default();
        while let Some(call) = calls.recv().await {
            let plugin = self.routes.lookup(&call.name).map(|plugin| plugin.manifest().name.clone());
            let place = lanes.enter(plugin);
            let dispatch = self.clone();
            let span = tracing::info_span!("method", method = call.name, call = call.call_id);
            self.open.spawn(async move { dispatch.answer(call, place).await }.instrument(span));
        }
    }

    /// Waits until the calls under way are answered, at most this long.
    pub(super) async fn quiet(&self, timeout: Duration) {
        self.open.close();
        if tokio::time::timeout(timeout, self.open.wait()).await.is_err() {
            tracing::warn!(open = self.open.len(), "calls were not answered in time");
        }
    }

    async fn answer(&self, call: MethodCall, place: Option<OwnedSemaphorePermit>) {
        let decided = match place {
            Some(_) => self.decide(&call).await,
            None => Err(Refusal::Busy),
        };
        let (response, accepted) = match decided {
            Ok(decided) => decided,
            Err(refusal) => {
                tracing::warn!(status = refusal.status(), reason = %refusal, "call refused");
                (refusal.response(), None)
            }
        };
        tracing::debug!(status = response.status, "call answered");
        if call.reply.send(response).is_err() {
            tracing::debug!("nobody waits for the answer any more");
        }
        if let Some(accepted) = accepted {
            accepted.start();
        }
    }

    async fn decide(&self, call: &MethodCall) -> Result<(MethodResponse, Option<Accepted>), Refusal> {
        if self.ending.is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        let payload = method::parse_payload(&call.payload)?;
        if let Some(answer) = self.native.answer(&call.name, &payload).await {
            return Ok((answer, None));
        }
        let plugin =
            self.routes.lookup(&call.name).ok_or_else(|| Refusal::UnknownMethod(call.name.clone()))?;
        match plugin.call(&call.name, payload, &call.call_id).await? {
            Reply::Done(response) => Ok((response, None)),
            Reply::Accepted { response, job } => {
                let manifest = plugin.manifest();
                let accepted = self.jobs.accept(&manifest.name, &manifest.version, job).await?;
                tracing::info!(job = %accepted.id(), plugin = %manifest.name, "job accepted");
                Ok((response, Some(accepted)))
            }
        }
    }
}

/// The places of each plugin, and under no name those of the host.
#[derive(Default)]
struct Lanes(HashMap<Option<PluginName>, Arc<Semaphore>>);

impl Lanes {
    /// A place for one call until it is dropped; `None` where all are taken.
    fn enter(&mut self, plugin: Option<PluginName>) -> Option<OwnedSemaphorePermit> {
        self.0.retain(|_, lane| lane.available_permits() < OPEN);
        let lane = self.0.entry(plugin).or_insert_with(|| Arc::new(Semaphore::new(OPEN)));
        Arc::clone(lane).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_one_plugin_take_no_place_of_another_or_of_the_host() {
        let mut lanes = Lanes::default();
        let plugin = |name: &str| Some(name.parse().unwrap());
        let taken: Vec<_> = std::iter::from_fn(|| lanes.enter(plugin("acme.pump"))).collect();
        assert_eq!(taken.len(), OPEN);
        assert!(lanes.enter(plugin("acme.valve")).is_some());
        assert!(lanes.enter(None).is_some());
        drop(taken);
        assert!(lanes.enter(plugin("acme.pump")).is_some());
    }
}
