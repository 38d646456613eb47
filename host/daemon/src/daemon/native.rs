//! The host's own methods: `hotshoe.ping`, `hotshoe.status`, those about plugins (`methods`) and jobs (`jobs`), and those
//! that mend a device (`mend`).
//!
//! No plugin can have a name that begins with `hotshoe.` among its methods answered before these.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use hotshoe_core::method::MethodResponse;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::safe_mode::SafeMode;
use super::{jobs, mend, methods};
use crate::admin::{Orders, Told};
use crate::disk::blocking;
use crate::flash::{Content, Flash, SlotInfo};
use crate::hub::Outbox;
use crate::job::Jobs;
use crate::swap::{Broken, Plugins};

/// Answers with its payload: what a call costs without any plugin.
const PING: &str = "hotshoe.ping";
/// Tells what an operator wants to know of a device.
const STATUS: &str = "hotshoe.status";

/// The host's own methods.
pub(super) struct Native {
    pub(super) started: Instant,
    pub(super) plugins: Plugins,
    pub(super) orders: Orders,
    pub(super) outbox: Outbox,
    pub(super) jobs: Jobs,
    pub(super) flash: Flash,
    pub(super) connected: watch::Receiver<bool>,
    pub(super) metrics: Registry,
    /// What could not be mounted at the start.
    pub(super) broken: Vec<Broken>,
    pub(super) safe_mode: Arc<SafeMode>,
    /// Cancelled when the host is to start anew.
    pub(super) again: CancellationToken,
}

impl Native {
    /// The answer to one of the host's own methods; `None` where it is none.
    pub(super) async fn answer(&self, name: &str, payload: &Value) -> Option<MethodResponse> {
        let payload = match name {
            PING => json!({ "echo": payload }),
            STATUS => self.status_document().await,
            methods::INSTALL => return Some(methods::install(&self.orders, &self.outbox, payload).await),
            methods::ROLLBACK => return Some(methods::rollback(&self.orders, &self.outbox, payload).await),
            jobs::CANCEL => return Some(jobs::cancel(&self.jobs, payload).await),
            mend::LEAVE => return Some(mend::leave(&self.safe_mode, &self.again)),
            mend::RUNNING => return Some(mend::running(&self.flash, payload).await),
            _ => return None,
        };
        Some(MethodResponse { status: 200, payload })
    }

    /// What is not mounted and why. What was installed in its place since the start is not among it.
    pub(super) fn broken(&self) -> Vec<Broken> {
        let routes = self.plugins.routes();
        let is_mounted =
            |broken: &Broken| broken.name.as_ref().is_some_and(|name| routes.plugin(name).is_some());
        self.broken.iter().filter(|broken| !is_mounted(broken)).cloned().collect()
    }

    async fn status_document(&self) -> Value {
        let plugins: Vec<Value> = self
            .plugins
            .routes()
            .plugins()
            .iter()
            .map(|plugin| {
                let manifest = plugin.manifest();
                let methods: Vec<&str> = manifest.methods.iter().map(|method| method.name.as_str()).collect();
                json!({ "name": manifest.name, "version": manifest.version, "methods": methods })
            })
            .collect();
        let broken = self.broken();
        let broken: Vec<Value> =
            broken.iter().map(|one| json!({ "file": one.file, "reason": one.reason })).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": self.started.elapsed().as_secs(),
            "safeMode": self.safe_mode.reason().map(|reason| json!({ "reason": reason })),
            "connected": *self.connected.borrow(),
            "plugins": plugins,
            "broken": broken,
            "jobs": self.jobs.list(),
            "slots": slots(&self.flash).await,
            "metrics": metrics(&self.metrics),
        })
    }
}

impl Told for Native {
    fn status(&self) -> BoxFuture<'_, Value> {
        Box::pin(self.status_document())
    }

    fn jobs(&self) -> Value {
        json!(self.jobs.list())
    }

    fn method<'a>(&'a self, name: &'a str, payload: &'a Value) -> BoxFuture<'a, Option<MethodResponse>> {
        Box::pin(self.answer(name, payload))
    }

    fn metrics(&self) -> String {
        exposition(&self.metrics)
    }
}

/// The slots as JSON; the error's text where they cannot be read.
pub(super) async fn slots(flash: &Flash) -> Value {
    let flash = flash.clone();
    match blocking(move || flash.slots()).await {
        Ok(Ok(slots)) => slots.iter().map(slot).collect(),
        Ok(Err(error)) => json!({ "error": error.to_string() }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn slot(slot: &SlotInfo) -> Value {
    let content = match slot.content {
        Content::Empty => "empty",
        Content::Partial => "partial",
        Content::Sealed => "sealed",
    };
    json!({
        "name": slot.name,
        "size": slot.size,
        "running": slot.running,
        "good": slot.good,
        "trial": slot.trial,
        "content": content,
        "version": slot.version,
        "digest": slot.digest.as_ref().map(ToString::to_string),
    })
}

/// All figures, as OpenMetrics text.
fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        tracing::warn!(%error, "the metrics cannot be written down");
        text = "# EOF\n".to_owned();
    }
    text
}

/// The figures by name, without the buckets of histograms: an answer has 128 KiB.
fn metrics(registry: &Registry) -> Value {
    let text = exposition(registry);
    let mut figures = Map::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{")) {
        if let Some((name, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            figures.insert(name.to_owned(), json!(value));
        }
    }
    Value::Object(figures)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn figures_stand_under_their_names() {
        let (mut registry, counter) = (Registry::default(), Counter::<u64>::default());
        registry.register("calls", "Calls", counter.clone());
        counter.inc();
        assert_eq!(metrics(&registry), json!({ "calls_total": 1.0 }));
    }
}
