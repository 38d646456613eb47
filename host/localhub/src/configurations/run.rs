//! The task that walks over all twins when a configuration has changed, and the one that tells of figures.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use crate::events::{Kind, What};
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;

/// Twins read at once, and changed at once: changes share their flushes.
const NAMES: usize = 1_000;
const CHANGES: usize = 64;
/// After the database failed.
const AGAIN: Duration = Duration::from_secs(1);
/// A configuration is told of at most so often.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// Works until `stop`; a walk under way then is begun again by the next hub on the same data.
pub(crate) async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    stop.run_until_cancelled(async { tokio::join!(walk_when_owed(&hub), tell(&hub)) }).await;
}

async fn walk_when_owed(hub: &Arc<Hub>) {
    loop {
        let done = match hub.blocking(|hub| Ok(hub.store.owed_walk()?)).await {
            Ok(None) => {
                hub.configurations.wake.notified().await;
                Ok(())
            }
            Ok(Some(revision)) => walk(hub, revision).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = done {
            tracing::error!(%fault, "configurations cannot be applied; it is tried again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What is changed or made meanwhile sees to itself.
async fn walk(hub: &Arc<Hub>, revision: u64) -> Result<(), Fault> {
    let began = Instant::now();
    let mut changed = 0;
    for modules in [false, true] {
        let mut after = None;
        loop {
            let from = after.clone();
            let names = hub.blocking(move |hub| unsettled(hub, modules, from.as_deref())).await?;
            let Some(last) = names.last() else { break };
            after = Some(last.to_string());
            changed += names.len();
            let done = stream::iter(names)
                .map(|name| hub.blocking(move |hub| hub.change_record(&name, |_| Ok(()), |()| {})))
                .buffer_unordered(CHANGES);
            done.fold(Ok(()), |all, one| std::future::ready(all.and(one))).await?;
        }
    }
    hub.blocking(move |hub| hub.store.walked(revision)).await?;
    tracing::info!(changed, milliseconds = began.elapsed().as_millis(), "configurations are applied");
    Ok(())
}

/// The next names, in their order, of twins that are not in line with the configurations. Blocks.
fn unsettled(hub: &Hub, modules: bool, after: Option<&str>) -> Result<Vec<Name>, Fault> {
    let mut names = Vec::new();
    hub.store.visit(modules, after, |_, record| {
        if !hub.is_settled(&record) {
            names.push(record.identity.name()?);
        }
        Ok(if names.len() < NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(names)
}

/// Tells which configurations' figures changed, soon after they did and not too often.
async fn tell(hub: &Arc<Hub>) {
    let mut last = Arc::new(BTreeMap::new());
    loop {
        hub.configurations.tell.notified().await;
        if hub.events.is_wanted(Kind::Configuration) {
            match hub.figures_since(Instant::now()).await {
                Ok(all) => {
                    let differs = |id: &&String| Figures::differ(last.get(*id), all.get(*id));
                    let ids: Vec<String> = all.keys().filter(differs).cloned().collect();
                    hub.configurations.touched().extend(ids);
                    last = all;
                }
                Err(fault) => tracing::warn!(%fault, "the figures of configurations could not be counted"),
            }
        }
        let touched = std::mem::take(&mut *hub.configurations.touched());
        for id in touched {
            hub.events.tell(None, &What::Configuration { id: &id });
        }
        tokio::time::sleep(TOLD_EVERY).await;
    }
}
