//! What the plugin used, out of the device's metrics: told when there were calls, and not when nothing happened.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use crate::admin::Admin;

/// How often the device is asked.
const PACE: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Default)]
pub(super) struct Figures {
    last: BTreeMap<String, f64>,
}

impl Figures {
    /// Waits until there were calls, and says what the plugin used so far, all its versions together. May be dropped and
    /// asked again.
    pub(super) async fn next(&mut self, admin: &Admin, plugin: Option<&str>) -> String {
        loop {
            sleep(PACE).await;
            let Some(plugin) = plugin else { continue };
            let Ok(text) = admin.text("/metrics").await else { continue };
            let sums = sums(&text, plugin);
            let calls = |sums: &BTreeMap<String, f64>| sums.get("calls_total").copied().unwrap_or_default();
            if calls(&sums) != calls(&self.last) {
                let told = words(plugin, &sums);
                self.last = sums;
                return told;
            }
        }
    }
}

/// The figures of a plugin by their names, over all versions; the largest where a sum says nothing.
fn sums(text: &str, plugin: &str) -> BTreeMap<String, f64> {
    let label = format!("plugin=\"{plugin}\"");
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| line.contains(&label)) {
        let Some((name, rest)) = line.strip_prefix("hotshoe_plugin_").and_then(|line| line.split_once('{'))
        else {
            continue;
        };
        let value = rest.rsplit_once("} ").and_then(|(_, value)| value.trim().parse::<f64>().ok());
        let Some(value) = value else { continue };
        let sum = sums.entry(name.to_owned()).or_insert(0.0);
        *sum = if name.contains("peak") { value.max(*sum) } else { *sum + value };
    }
    sums
}

fn words(plugin: &str, sums: &BTreeMap<String, f64>) -> String {
    let of = |name: &str| sums.get(name).copied().unwrap_or_default();
    format!(
        "{plugin}: {} calls, {} errors, {} traps, {} time-outs; {:.1} ms of processor time, {:.1} MiB of memory at most",
        of("calls_total"),
        of("errors_total"),
        of("traps_total"),
        of("timeouts_total"),
        of("processor_seconds_total") * 1000.0,
        of("memory_peak_bytes") / f64::from(1 << 20),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_plugin_over_its_versions() {
        let text = "hotshoe_plugin_calls_total{plugin=\"a\",version=\"1.0.0\"} 2\n\
            hotshoe_plugin_calls_total{plugin=\"a\",version=\"1.0.1\"} 3\n\
            hotshoe_plugin_calls_total{plugin=\"b\",version=\"1.0.0\"} 100\n\
            hotshoe_plugin_memory_peak_bytes{plugin=\"a\",version=\"1.0.0\"} 1048576\n\
            hotshoe_plugin_memory_peak_bytes{plugin=\"a\",version=\"1.0.1\"} 524288\n\
            hotshoe_plugin_processor_seconds_total{plugin=\"a\",version=\"1.0.1\"} 0.0025\n";
        let told = words("a", &sums(text, "a"));
        assert_eq!(
            told,
            "a: 5 calls, 0 errors, 0 traps, 0 time-outs; 2.5 ms of processor time, 1.0 MiB of memory at most"
        );
    }
}
