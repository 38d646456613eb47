//! What the session counts. Counters only; names follow OpenMetrics, the prefix is `hotshoe_hub`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of the hub session since the process began. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct HubMetrics {
    /// Connections that were established and subscribed.
    pub connects: Counter,
    /// Connections that ended unasked, failed attempts included.
    pub losses: Counter,
    /// Method calls handed on.
    pub calls: Counter,
    /// Method calls answered here: not JSON, too large, queue full, shutting down.
    pub calls_refused: Counter,
    /// Method calls delivered again and not handed on a second time.
    pub calls_repeated: Counter,
    /// Reported patches acknowledged by the hub.
    pub patches: Counter,
    /// Reported patches that the hub called wrong.
    pub patches_refused: Counter,
    /// Telemetry messages acknowledged by the hub.
    pub telemetry: Counter,
    /// Telemetry messages dropped since the hub would not take them.
    pub telemetry_dropped: Counter,
}

impl HubMetrics {
    /// Puts the counters into a registry.
    pub fn register(&self, registry: &mut Registry) {
        let hub = registry.sub_registry_with_prefix("hotshoe_hub");
        for (name, help, counter) in [
            ("connects", "Connections established and subscribed", &self.connects),
            ("losses", "Connections lost and attempts failed", &self.losses),
            ("calls", "Direct method calls handed on", &self.calls),
            ("calls_refused", "Direct method calls refused before any plugin", &self.calls_refused),
            ("calls_repeated", "Direct method calls delivered more than once", &self.calls_repeated),
            ("patches", "Reported patches acknowledged", &self.patches),
            ("patches_refused", "Reported patches that the hub called wrong", &self.patches_refused),
            ("telemetry", "Telemetry messages acknowledged", &self.telemetry),
            ("telemetry_dropped", "Telemetry messages that the hub would not take", &self.telemetry_dropped),
        ] {
            hub.register(name, help, counter.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_the_exposition() {
        let (metrics, mut registry) = (HubMetrics::default(), Registry::default());
        metrics.register(&mut registry);
        metrics.connects.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("hotshoe_hub_connects_total 1"), "{text}");
    }
}
