//! What is counted of calls into guests, at the one door they go through.
//!
//! The figures of a plugin and version are looked up once, when it is loaded; a call adds to handles and touches no
//! table. Labels are what the device itself made (names and versions of loaded plugins, five kinds of call), and
//! versions that nobody holds any more leave the registry but for the last few: an operator who looks after a
//! roll-back still sees the traps that caused it, and a device that is updated for years shows no more than that.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hotshoe_core::manifest::Manifest;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::capability::Usage;

/// How many versions stay that nobody holds any more, over all plugins.
const GONE: usize = 8;
/// The kinds of calls.
const KINDS: [&str; 5] = ["method", "job", "settings", "adopt", "check"];

/// Whose figures they are.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Subject {
    plugin: String,
    version: String,
}

/// Whose call it was.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Callee {
    plugin: String,
    version: String,
    /// One of [`KINDS`].
    call: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// Calls, how they ended, and what they took. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    families: Arc<Families>,
    /// In the order in which they were loaded last.
    figures: Arc<Mutex<Vec<Arc<Figures>>>>,
    open: Gauge,
}

struct Families {
    calls: Family<Callee, Counter>,
    errors: Family<Callee, Counter>,
    traps: Family<Callee, Counter>,
    timeouts: Family<Callee, Counter>,
    seconds: Family<Callee, Histogram, fn() -> Histogram>,
    processor: Family<Subject, Seconds>,
    memory: Family<Subject, Gauge>,
    fetched: Family<Subject, Counter>,
    flashed: Family<Subject, Counter>,
    dropped: Family<Subject, Counter>,
}

/// The figures of one version of a plugin.
pub(super) struct Figures {
    subject: Subject,
    families: Arc<Families>,
    calls: [OnceLock<CallFigures>; KINDS.len()],
    processor: Seconds,
    pub(super) usage: Usage,
}

struct CallFigures {
    calls: Counter,
    errors: Counter,
    traps: Counter,
    timeouts: Counter,
    seconds: Histogram,
}

/// How a call ended, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Returned,
    /// The guest itself answered that it will not or cannot.
    Refused,
    Trapped,
    TimedOut,
}

impl Default for Metrics {
    fn default() -> Self {
        // 50 µs to 50 s: an answer from memory at one end, a job's run at the other.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(50e-6, 4.0, 11));
        let families = Families {
            calls: Family::default(),
            errors: Family::default(),
            traps: Family::default(),
            timeouts: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            processor: Family::default(),
            memory: Family::default(),
            fetched: Family::default(),
            flashed: Family::default(),
            dropped: Family::default(),
        };
        Metrics { families: Arc::new(families), figures: Arc::default(), open: Gauge::default() }
    }
}

impl Metrics {
    /// Puts the figures where the device shows its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let guest = registry.sub_registry_with_prefix("hotshoe_plugin");
        let all = &self.families;
        guest.register("calls", "Calls into plugins that have ended", all.calls.clone());
        guest.register(
            "errors",
            "Calls that the plugin answered with an error of its own",
            all.errors.clone(),
        );
        guest.register("traps", "Calls that ended in a trap", all.traps.clone());
        guest.register("timeouts", "Calls that ran out of time", all.timeouts.clone());
        let took = "How long calls took, instance included";
        guest.register_with_unit("call", took, Unit::Seconds, all.seconds.clone());
        let computed = "Processor time of calls, host functions that do not wait included";
        guest.register_with_unit("processor", computed, Unit::Seconds, all.processor.clone());
        let peak = "Most memory that one instance had";
        guest.register_with_unit("memory_peak", peak, Unit::Bytes, all.memory.clone());
        let fetched = "Bytes that came over the network for the plugin";
        guest.register_with_unit("fetched", fetched, Unit::Bytes, all.fetched.clone());
        let flashed = "Bytes written into slots for the plugin";
        guest.register_with_unit("flashed", flashed, Unit::Bytes, all.flashed.clone());
        guest.register("log_lines_dropped", "Log lines over the plugin's rate", all.dropped.clone());
        guest.register("open", "Instances that exist now", self.open.clone());
    }

    /// The figures of a plugin that is loaded; those of its earlier life go on.
    pub(super) fn of(&self, manifest: &Manifest) -> Arc<Figures> {
        let subject = Subject { plugin: manifest.name.to_string(), version: manifest.version.to_string() };
        let mut all = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().position(|figures| figures.subject == subject).map(|place| all.remove(place));
        let figures = known.unwrap_or_else(|| Arc::new(Figures::new(subject, &self.families)));
        all.push(Arc::clone(&figures));
        let mut gone = all.iter().filter(|figures| Arc::strong_count(figures) == 1).count();
        all.retain(|figures| {
            let leaves = gone > GONE && Arc::strong_count(figures) == 1;
            if leaves {
                gone = gone.saturating_sub(1);
                figures.leave();
            }
            !leaves
        });
        figures
    }

    /// A call begins; it ends when the value does.
    pub(super) fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }
}

impl Figures {
    fn new(subject: Subject, families: &Arc<Families>) -> Figures {
        let usage = Usage {
            fetched: families.fetched.get_or_create_owned(&subject),
            flashed: families.flashed.get_or_create_owned(&subject),
            dropped: families.dropped.get_or_create_owned(&subject),
            memory: families.memory.get_or_create_owned(&subject),
        };
        let processor = families.processor.get_or_create_owned(&subject);
        Figures { subject, families: Arc::clone(families), calls: Default::default(), processor, usage }
    }

    /// A call has ended, after so long, of which it computed so long.
    pub(super) fn ended(&self, call: &'static str, ending: Ending, took: Duration, computed: Duration) {
        self.processor.inc_by(computed.as_secs_f64());
        let kind = KINDS.iter().zip(&self.calls).find(|(kind, _)| **kind == call);
        let Some((kind, cell)) = kind else { return };
        let figures = cell.get_or_init(|| CallFigures::new(&self.callee(kind), &self.families));
        figures.calls.inc();
        figures.seconds.observe(took.as_secs_f64());
        match ending {
            Ending::Returned => {}
            Ending::Refused => drop(figures.errors.inc()),
            Ending::Trapped => drop(figures.traps.inc()),
            Ending::TimedOut => drop(figures.timeouts.inc()),
        }
    }

    fn callee(&self, call: &'static str) -> Callee {
        Callee { plugin: self.subject.plugin.clone(), version: self.subject.version.clone(), call }
    }

    /// Takes everything out of the registry.
    fn leave(&self) {
        let Families { calls, errors, traps, timeouts, seconds, .. } = &*self.families;
        for call in KINDS {
            let callee = self.callee(call);
            for family in [calls, errors, traps, timeouts] {
                family.remove(&callee);
            }
            seconds.remove(&callee);
        }
        let Families { processor, memory, fetched, flashed, dropped, .. } = &*self.families;
        processor.remove(&self.subject);
        memory.remove(&self.subject);
        for family in [fetched, flashed, dropped] {
            family.remove(&self.subject);
        }
    }
}

impl CallFigures {
    fn new(callee: &Callee, families: &Families) -> CallFigures {
        CallFigures {
            calls: families.calls.get_or_create_owned(callee),
            errors: families.errors.get_or_create_owned(callee),
            traps: families.traps.get_or_create_owned(callee),
            timeouts: families.timeouts.get_or_create_owned(callee),
            seconds: families.seconds.get_or_create_owned(callee),
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

#[cfg(test)]
mod tests {
    use hotshoe_core::manifest::{API, parse};

    use super::*;

    fn manifest(version: usize) -> Manifest {
        parse(&format!("name = \"acme.pump\"\nversion = \"1.{version}.0\"\napi = \"{API}\"\n")).unwrap()
    }

    fn shown(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn call(figures: &Figures, ending: Ending) {
        figures.ended("method", ending, Duration::from_millis(3), Duration::from_millis(2));
    }

    #[test]
    fn each_figure_stands_under_its_plugin_and_version() {
        let metrics = Metrics::default();
        let figures = metrics.of(&manifest(0));
        for ending in [Ending::Returned, Ending::Refused, Ending::Trapped, Ending::TimedOut] {
            call(&figures, ending);
        }
        figures.usage.fetched.inc_by(7);
        figures.usage.memory.set(65536);
        let text = shown(&metrics);
        let labels = "plugin=\"acme.pump\",version=\"1.0.0\"";
        for line in [
            format!("hotshoe_plugin_calls_total{{{labels},call=\"method\"}} 4"),
            format!("hotshoe_plugin_errors_total{{{labels},call=\"method\"}} 1"),
            format!("hotshoe_plugin_traps_total{{{labels},call=\"method\"}} 1"),
            format!("hotshoe_plugin_timeouts_total{{{labels},call=\"method\"}} 1"),
            format!("hotshoe_plugin_call_seconds_count{{{labels},call=\"method\"}} 4"),
            format!("hotshoe_plugin_processor_seconds_total{{{labels}}} 0.008"),
            format!("hotshoe_plugin_memory_peak_bytes{{{labels}}} 65536"),
            format!("hotshoe_plugin_fetched_bytes_total{{{labels}}} 7"),
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("call=\"job\""), "a kind of call that never was is not shown\n{text}");
    }

    #[test]
    fn of_the_versions_that_are_gone_only_the_last_stay() {
        let metrics = Metrics::default();
        let held = metrics.of(&manifest(0));
        call(&held, Ending::Returned);
        for version in 1..100 {
            call(&metrics.of(&manifest(version)), Ending::Trapped);
        }
        let text = shown(&metrics);
        let versions = text.lines().filter(|line| line.starts_with("hotshoe_plugin_calls_total{")).count();
        // The one that is held, those that are gone, and the one that was loaded last.
        assert_eq!(versions, 1 + GONE + 1, "{text}");
        assert!(text.contains("1.0.0") && text.contains("1.99.0") && !text.contains("1.50.0"), "{text}");
        call(&metrics.of(&manifest(99)), Ending::Trapped);
        assert!(
            shown(&metrics)
                .contains("traps_total{plugin=\"acme.pump\",version=\"1.99.0\",call=\"method\"} 2")
        );
    }
}
