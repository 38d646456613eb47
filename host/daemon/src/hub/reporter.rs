//! Carries the outbox to the twin over one connection.
//!
//! Written as the straight line it is: next patch, request, verdict. It ends only with the connection; the patch on
//! its way is then still the outbox's and comes again on the next one.

use std::sync::Arc;

use tokio::time::Instant;

use super::link::Lost;
use super::metrics::HubMetrics;
use super::outbox::{Outbox, Work};
use super::settings::Pace;
use super::twin::{Requests, Verdict};

/// A patch that was put off with 412 this often in a row counts as refused: this device never names a version, so
/// waiting longer will not help.
const CONFLICTS: u32 = 5;

pub(super) async fn run(
    outbox: &Outbox,
    requests: &Arc<Requests>,
    pace: &Pace,
    metrics: &HubMetrics,
) -> Lost {
    let mut progress_from = Instant::now();
    let mut put_off = 0_u32;
    loop {
        match outbox.next(progress_from).await {
            Work::Durable(patch) => {
                let answer = match requests.patch(&patch).await {
                    Ok(answer) => answer,
                    Err(lost) => return lost,
                };
                let verdict = answer.verdict();
                if verdict == Verdict::Accepted {
                    metrics.patches.inc();
                    put_off = 0;
                    outbox.acknowledged().await;
                } else if verdict == Verdict::Rejected || (answer.status == 412 && put_off >= CONFLICTS) {
                    metrics.patches_refused.inc();
                    put_off = 0;
                    outbox.rejected(answer.status, answer.message()).await;
                } else {
                    let wait = pace.throttled.delay(put_off, rand::random());
                    put_off = put_off.saturating_add(1);
                    tracing::warn!(
                        status = answer.status,
                        ?wait,
                        "the hub put off a reported patch; repeating it"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
            Work::Progress(patch) => {
                progress_from = Instant::now() + pace.progress;
                match requests.patch(&patch).await {
                    Ok(answer) if answer.verdict() == Verdict::Accepted => outbox.shown(&patch),
                    Ok(answer) => tracing::debug!(status = answer.status, "progress was not taken"),
                    Err(lost) => return lost,
                }
            }
        }
    }
}
