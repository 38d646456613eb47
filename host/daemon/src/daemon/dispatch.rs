//! Direct methods to those who answer them.
//!
//! Each call has a task of its own, so that a slow plugin holds up nobody else's; how many there are at once is
//! bounded, and what comes beyond that waits in the hub session's queue, which answers 429 when it is full. Where a
//! method announces a job the order is the machine's: stored, answered, run.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::method::{self, MethodResponse, Refusal};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::native::Native;
use crate::hub::MethodCall;
use crate::job::{Accepted, Jobs};
use crate::plugin::{Reply, Routes};

/// How many calls are answered at once.
const AT_ONCE: usize = 16;

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
        let room = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            let Some(call) = calls.recv().await else { break };
            let dispatch = self.clone();
            let span = tracing::info_span!("method", method = call.name, call = call.call_id);
            let answering = async move {
                dispatch.answer(call).await;
                drop(permit);
            };
            self.open.spawn(answering.instrument(span));
        }
    }

    /// Waits until the calls under way are answered, at most this long.
    pub(super) async fn quiet(&self, timeout: Duration) {
        self.open.close();
        if tokio::time::timeout(timeout, self.open.wait()).await.is_err() {
            tracing::warn!(open = self.open.len(), "calls were not answered in time");
        }
    }

    async fn answer(&self, call: MethodCall) {
        let (response, accepted) = match self.decide(&call).await {
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
