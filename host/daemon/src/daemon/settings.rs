//! Desired properties to the plugins whose section changed, and their acknowledgements back.
//!
//! A plugin sees each version of the desired properties once, the last one if several came together; after an
//! update of the plugin it sees the current one again. What it decides is acknowledged in the manner of Plug and
//! Play, `{value, ac, av, ad}` under the section's key in the reported properties, durable before the version counts as
//! seen: where the power goes between, the plugin sees it once more, which it must be able to bear.
//!
//! Versions count from one in each twin, and a device may come to have another one: made anew, or at another hub. So
//! what was seen is known by its content, too, and an acknowledgement that the twin does not show is told again.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotshoe_core::manifest::PluginName;
use hotshoe_core::method::Refusal;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::disk::blocking;
use crate::hub::{Desired, Outbox};
use crate::job::{Accepted, JobSpec, Jobs};
use crate::plugin::{Decision, Plugin, Routes};
use crate::state::StateDir;

/// The file of what was seen.
const SEEN: &str = "settings";

/// What each plugin has seen.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
struct Seen(BTreeMap<PluginName, Mark>);

/// What a plugin has seen last.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Mark {
    /// The version of the desired properties.
    version: u64,
    /// The plugin's own.
    plugin: Version,
    /// `None` where there was no section, and in files of earlier versions, which were pairs.
    #[serde(default)]
    told: Option<Told>,
}

/// A section as it was acknowledged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Told {
    value: Value,
    code: i32,
    text: Option<String>,
}

/// Hands out desired properties.
pub(super) struct Settings {
    pub(super) routes: Routes,
    /// Ticks when another version of a plugin may be live.
    pub(super) swapped: watch::Receiver<u64>,
    pub(super) jobs: Jobs,
    pub(super) desired: Desired,
    pub(super) outbox: Outbox,
    pub(super) state: StateDir,
}

/// What a plugin decided: code, text, and the job that it started.
struct Verdict {
    code: i32,
    text: Option<String>,
    accepted: Option<Accepted>,
}

impl Settings {
    /// Follows the desired properties for as long as the process lives.
    pub(super) async fn follow(self) {
        let mut swapped = self.swapped.clone();
        let mut changes = self.desired.subscribe();
        let mut refreshed = self.outbox.refreshed();
        let state = self.state.clone();
        let read = blocking(move || state.read::<Seen>(SEEN)).await;
        let mut seen = match read {
            Ok(Ok(seen)) => seen.unwrap_or_default(),
            _ => Seen::default(),
        };
        loop {
            let current = changes.borrow_and_update().clone();
            if let Some((version, properties)) = current {
                self.hand_out(version, &properties, &mut seen).await;
            }
            let next = tokio::select! {
                next = changes.changed() => next,
                next = swapped.changed() => next,
                next = refreshed.changed() => next,
            };
            if next.is_err() {
                return;
            }
        }
    }

    async fn hand_out(&self, version: u64, properties: &Value, seen: &mut Seen) {
        let before = seen.clone();
        for plugin in self.routes.plugins() {
            let manifest = plugin.manifest();
            let Some(section) = &manifest.desired else { continue };
            let value = properties.get(section).map(plain);
            if let Some(mark) = seen.0.get(&manifest.name)
                && (mark.version, &mark.plugin) == (version, &manifest.version)
                && value
                    .as_ref()
                    .is_none_or(|value| mark.told.as_ref().is_some_and(|told| told.value == *value))
            {
                if let Some(told) = mark.told.as_ref().filter(|_| value.is_some())
                    && self.is_lost(section, version)
                {
                    self.tell(&manifest.name, section, version, told).await;
                }
                continue;
            }
            let told = match value {
                Some(value) => match self.apply(&plugin, section, version, value).await {
                    Some(told) => Some(told),
                    None => continue,
                },
                None => None,
            };
            let mark = Mark { version, plugin: manifest.version.clone(), told };
            seen.0.insert(manifest.name.clone(), mark);
        }
        if *seen == before {
            return;
        }
        let (state, record) = (self.state.clone(), seen.clone());
        if let Ok(Err(error)) = blocking(move || state.write(SEEN, &record)).await {
            tracing::warn!(%error, "what plugins have seen was not stored; they will see it again");
        }
    }

    /// Whether the twin does not show what was acknowledged in it: it may be another one by now.
    fn is_lost(&self, section: &str, version: u64) -> bool {
        let known = *self.outbox.refreshed().borrow() > 0;
        known
            && self.outbox.reported().get(section).and_then(|shown| shown.get("av")) != Some(&json!(version))
    }

    /// Has the plugin decide; what it decided, once that is acknowledged.
    async fn apply(&self, plugin: &Arc<Plugin>, section: &str, version: u64, value: Value) -> Option<Told> {
        let name = &plugin.manifest().name;
        let verdict = if value.is_object() {
            self.decide(plugin, version, value.clone()).await
        } else {
            refused(400, format!("the section {section} is not a JSON object"))
        };
        let Verdict { code, text, accepted } = verdict?;
        tracing::info!(plugin = %name, section, version, code, reason = text, "desired properties acknowledged");
        let told = Told { value, code, text };
        let is_told = self.tell(name, section, version, &told).await;
        if let Some(accepted) = accepted {
            accepted.start();
        }
        is_told.then_some(told)
    }

    /// True once it is durable.
    async fn tell(&self, name: &PluginName, section: &str, version: u64, told: &Told) -> bool {
        let Told { value, code, text } = told;
        let reported = self.outbox.reported();
        let patch = acknowledgement(reported.get(section), section, version, value, *code, text.as_deref());
        let told = self.outbox.patch(patch).await;
        if let Err(error) = &told {
            tracing::warn!(%error, plugin = %name, "the acknowledgement was not reported");
        }
        told.is_ok()
    }

    /// `None` where it is to be asked again with the next change or start.
    async fn decide(&self, plugin: &Arc<Plugin>, version: u64, properties: Value) -> Option<Verdict> {
        match plugin.apply(version, properties).await {
            Ok(Decision::Applied) => Some(Verdict { code: 200, text: None, accepted: None }),
            Ok(Decision::Refused(text)) => refused(400, text),
            Ok(Decision::Started(job)) => self.start(plugin, job).await,
            Err(Refusal::ShuttingDown | Refusal::Busy | Refusal::Quarantined(_)) => None,
            Err(refusal) => refused(refusal.status(), refusal.to_string()),
        }
    }

    async fn start(&self, plugin: &Arc<Plugin>, job: JobSpec) -> Option<Verdict> {
        let manifest = plugin.manifest();
        let announced = job.clone();
        match self.jobs.accept(&manifest.name, &manifest.version, job).await {
            Ok(accepted) => Some(Verdict { code: 202, text: None, accepted: Some(accepted) }),
            Err(Refusal::ShuttingDown | Refusal::Busy) => None,
            // The power went between the job and its acknowledgement: this very job is what holds the lane.
            Err(Refusal::LaneTaken { holder, .. }) if self.jobs.is_same(&holder, &announced) => {
                Some(Verdict { code: 202, text: None, accepted: None })
            }
            Err(refusal) => refused(refusal.status(), refusal.to_string()),
        }
    }
}

fn refused(code: i32, text: String) -> Option<Verdict> {
    Some(Verdict { code, text: Some(text.chars().take(512).collect()), accepted: None })
}

/// The section without the hub's own keys.
pub(super) fn plain(section: &Value) -> Value {
    match section {
        Value::Object(members) => {
            let own = members.iter().filter(|(key, _)| !key.starts_with('$'));
            Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

/// The patch that makes the twin show this acknowledgement, and nothing of an earlier one.
pub(super) fn acknowledgement(
    shown: Option<&Value>,
    section: &str,
    version: u64,
    value: &Value,
    code: i32,
    text: Option<&str>,
) -> Value {
    let shown = shown.and_then(|shown| shown.get("value"));
    let entry = json!({ "value": replacing(shown, value), "ac": code, "av": version, "ad": text });
    let mut patch = Map::new();
    patch.insert(section.to_owned(), entry);
    Value::Object(patch)
}

/// A merge patch after which the value is exactly this: members that went are deleted.
fn replacing(shown: Option<&Value>, wanted: &Value) -> Value {
    let (Some(Value::Object(shown)), Value::Object(wanted)) = (shown, wanted) else { return wanted.clone() };
    let mut patch = Map::new();
    for (key, value) in wanted {
        patch.insert(key.clone(), replacing(shown.get(key), value));
    }
    for key in shown.keys().filter(|key| !wanted.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use hotshoe_core::twin;

    use super::*;

    #[test]
    fn what_an_earlier_version_has_stored_is_read() {
        let seen: Seen = serde_json::from_value(json!({ "acme.pump": [7, "1.2.0"] })).unwrap();
        let mark = Mark { version: 7, plugin: Version::new(1, 2, 0), told: None };
        assert_eq!(seen.0.into_iter().collect::<Vec<_>>(), [("acme.pump".parse().unwrap(), mark)]);
    }

    #[test]
    fn after_an_acknowledgement_the_twin_shows_it_alone() {
        let mut reported = json!({ "pump": { "value": { "rate": 1, "old": { "a": 1 } }, "ac": 400, "av": 1, "ad": "no", "own": 1 } });
        let value = json!({ "rate": 2, "new": { "b": 1 } });
        let patch = acknowledgement(reported.get("pump"), "pump", 7, &value, 200, None);
        twin::merge(&mut reported, &patch);
        assert_eq!(reported, json!({ "pump": { "value": value, "ac": 200, "av": 7, "own": 1 } }));
    }

    #[test]
    fn the_hubs_own_keys_are_left_out() {
        assert_eq!(plain(&json!({ "a": 1, "$version": 3 })), json!({ "a": 1 }));
        assert_eq!(plain(&json!(5)), json!(5));
    }
}
