//! What is counted of calls into guests, at the one door they go through.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Whose call it was.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Callee {
    plugin: String,
    version: String,
    /// `method`, `job`, `settings` or `check`.
    call: &'static str,
}

/// Calls and how they ended. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Callee, Counter>,
    traps: Family<Callee, Counter>,
    timeouts: Family<Callee, Counter>,
    seconds: Family<Callee, Histogram, fn() -> Histogram>,
    open: Gauge,
}

/// How a call ended, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Returned,
    Trapped,
    TimedOut,
}

impl Default for Metrics {
    fn default() -> Self {
        // 50 µs to 50 s: an answer from memory at one end, a job's run at the other.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(50e-6, 4.0, 11));
        Metrics {
            calls: Family::default(),
            traps: Family::default(),
            timeouts: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            open: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Puts the figures where the device shows its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let guest = registry.sub_registry_with_prefix("hotshoe_plugin");
        guest.register("calls", "Calls into plugins", self.calls.clone());
        guest.register("traps", "Calls that ended in a trap", self.traps.clone());
        guest.register("timeouts", "Calls that ran out of time", self.timeouts.clone());
        guest.register("call_seconds", "How long calls took, instance included", self.seconds.clone());
        guest.register("open", "Instances that exist now", self.open.clone());
    }

    /// A call begins; it ends when the value does.
    pub(super) fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    /// A call has ended.
    pub(super) fn ended(
        &self,
        plugin: &str,
        version: &str,
        call: &'static str,
        ending: Ending,
        took: Duration,
    ) {
        let callee = Callee { plugin: plugin.to_owned(), version: version.to_owned(), call };
        self.calls.get_or_create(&callee).inc();
        self.seconds.get_or_create(&callee).observe(took.as_secs_f64());
        match ending {
            Ending::Returned => {}
            Ending::Trapped => drop(self.traps.get_or_create(&callee).inc()),
            Ending::TimedOut => drop(self.timeouts.get_or_create(&callee).inc()),
        }
    }
}

/// An instance that exists.
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
