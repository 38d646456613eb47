//! The plugins of a simulated device: what the desired property `hotshoe.plugins` asks for, and what is told of it.
//!
//! Entries, acknowledgements and states are the device's (`hotshoe.plugins` in its twin); the swap behind them takes one
//! phase to be live and one more to have proved itself, and ends as the device's fate has it.

use std::{collections::BTreeMap, time::Duration};

use semver::Version;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::script::Outcome;

/// The plugins.
#[derive(Clone, Debug, Default)]
pub(super) struct Plugins(BTreeMap<String, Plugin>);

#[derive(Clone, Debug, Default)]
struct Plugin {
    version: Option<Version>,
    previous: Option<Version>,
    state: Option<&'static str>,
    trouble: Option<String>,
    told: Option<Told>,
    due: Option<(Instant, Stage)>,
}

/// The acknowledgement.
#[derive(Clone, Debug)]
struct Told {
    value: Value,
    code: u16,
    version: u64,
    text: Option<String>,
}

#[derive(Clone, Debug)]
enum Stage {
    Install(Version),
    Settle,
    RollBack,
}

/// What follows of a look or of time.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// Tells this.
    Tell(Value),
    /// The device is never heard of again.
    Vanish,
}

impl Plugins {
    pub(super) fn new(first: &[(String, Version)]) -> Plugins {
        let plugin = |version: &Version| Plugin {
            version: Some(version.clone()),
            state: Some("factory"),
            ..Plugin::default()
        };
        Plugins(first.iter().map(|(key, version)| (key.clone(), plugin(version))).collect())
    }

    /// Takes in a version of the desired properties.
    pub(super) fn look(
        &mut self,
        version: u64,
        desired: &Value,
        fate: Outcome,
        due: Instant,
    ) -> Option<Value> {
        let none = Map::new();
        let wanted = desired.pointer("/hotshoe/plugins").and_then(Value::as_object).unwrap_or(&none);
        let mut changed = Vec::new();
        for (key, plugin) in &mut self.0 {
            if plugin.told.is_some() && !wanted.contains_key(key) {
                plugin.told = None;
                changed.push(key.clone());
            }
        }
        for (key, value) in wanted.iter().filter(|(_, value)| !value.is_null()) {
            let plugin = self.0.entry(key.clone()).or_default();
            if plugin.take(version, value, fate, due) {
                changed.push(key.clone());
            }
        }
        self.patch(&changed)
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|plugin| plugin.due.as_ref().map(|(due, _)| *due)).min()
    }

    /// Does what is due by now; what follows of it is due after `phase`.
    pub(super) fn advance(&mut self, now: Instant, phase: Duration, fate: Outcome) -> Option<Turn> {
        let mut changed = Vec::new();
        for (key, plugin) in &mut self.0 {
            let Some((_, stage)) = plugin.due.take_if(|(due, _)| *due <= now) else { continue };
            if fate == Outcome::Silent && matches!(stage, Stage::Install(_)) {
                return Some(Turn::Vanish);
            }
            plugin.due = plugin.step(stage, fate).map(|next| (now + phase, next));
            changed.push(key.clone());
        }
        self.patch(&changed).map(Turn::Tell)
    }

    /// All entries, as the device tells them.
    pub(super) fn shown(&self) -> Map<String, Value> {
        self.0.iter().map(|(key, plugin)| (key.clone(), plugin.shown())).collect()
    }

    fn patch(&self, keys: &[String]) -> Option<Value> {
        let entries: Map<String, Value> =
            keys.iter().filter_map(|key| Some((key.clone(), self.0.get(key)?.shown()))).collect();
        (!entries.is_empty()).then(|| json!({ "hotshoe": { "plugins": entries } }))
    }
}

impl Plugin {
    /// Takes an entry; true where something is to be told.
    fn take(&mut self, version: u64, value: &Value, fate: Outcome, due: Instant) -> bool {
        match &mut self.told {
            Some(told) if told.value == *value && (told.version == version || told.code < 300) => {
                return std::mem::replace(&mut told.version, version) != version;
            }
            _ => {}
        }
        self.due = None;
        let (code, text) = match (value.get("version").and_then(Value::as_str), value.get("remove")) {
            (None, Some(Value::Bool(true))) => {
                *self = Plugin::default();
                (200, None)
            }
            (Some(wanted), None) => match wanted.parse::<Version>() {
                Ok(wanted) if self.version.as_ref() == Some(&wanted) => (200, None),
                Ok(_) if fate == Outcome::Refused => {
                    (403, Some("the policy of this device does not allow it".to_owned()))
                }
                Ok(wanted) => {
                    self.due = Some((due, Stage::Install(wanted)));
                    (202, Some("under way".to_owned()))
                }
                Err(error) => (400, Some(error.to_string())),
            },
            _ => (400, Some("an entry names a version, or says remove: true and nothing else".to_owned())),
        };
        self.told = Some(Told { value: value.clone(), code, version, text });
        true
    }

    /// Does what is due; returns what is due after it.
    fn step(&mut self, stage: Stage, fate: Outcome) -> Option<Stage> {
        let (code, text, next) = match stage {
            Stage::Install(_) if fate == Outcome::Failed => (
                422,
                Some("the component does not load: it asks for an import that there is not".to_owned()),
                None,
            ),
            Stage::Install(version) => {
                self.previous = self.version.replace(version);
                (self.state, self.trouble) = (Some("probation"), None);
                (200, None, Some(if fate == Outcome::RolledBack { Stage::RollBack } else { Stage::Settle }))
            }
            Stage::Settle => {
                self.state = Some("settled");
                return None;
            }
            Stage::RollBack => {
                let failed = std::mem::replace(&mut self.version, self.previous.take());
                self.state = Some(if self.version.is_some() { "settled" } else { "absent" });
                let trouble = failed.map(|failed| format!("version {failed} was rolled back: it trapped"));
                let live = match &self.version {
                    Some(version) => format!("version {version} is live"),
                    None => "no version is live".to_owned(),
                };
                let text = format!("{live}: {}", trouble.as_deref().unwrap_or_default());
                self.trouble = trouble;
                (409, Some(text), None)
            }
        };
        if let Some(told) = &mut self.told {
            (told.code, told.text) = (code, text);
        }
        next
    }

    /// The entry as a patch that leaves nothing of an earlier one.
    fn shown(&self) -> Value {
        let told = self.told.as_ref();
        let value = told.map(|told| {
            let member = |name: &str| told.value.get(name).cloned().unwrap_or_default();
            json!({
                "version": member("version"), "repository": member("repository"), "digest": member("digest"),
                "remove": member("remove"),
            })
        });
        json!({
            "version": self.version, "previous": self.previous, "state": self.state, "trouble": self.trouble,
            "value": value, "ac": told.map(|told| told.code), "av": told.map(|told| told.version),
            "ad": told.and_then(|told| told.text.as_deref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use hotshoe_core::twin;

    use super::*;

    fn course(fate: Outcome) -> Vec<Value> {
        let mut plugins = Plugins::new(&[("acme/pump".to_owned(), Version::new(1, 0, 0))]);
        let (mut now, phase) = (Instant::now(), Duration::from_secs(1));
        let mut twin = json!({ "hotshoe": { "plugins": plugins.shown() } });
        let desired = json!({ "hotshoe": { "plugins": { "acme/pump": { "version": "1.1.0" } } } });
        let mut seen = Vec::new();
        let mut patch = plugins.look(2, &desired, fate, now + phase);
        assert_eq!(plugins.look(2, &desired, fate, now + phase), None, "the same again");
        while let Some(told) = patch.take() {
            twin::merge(&mut twin, &told);
            seen.push(twin["hotshoe"]["plugins"]["acme/pump"].clone());
            let Some(next) = plugins.next() else { break };
            now = next;
            match plugins.advance(now, phase, fate) {
                Some(Turn::Tell(told)) => patch = Some(told),
                Some(Turn::Vanish) => seen.push(json!("vanished")),
                None => {}
            }
        }
        seen
    }

    #[tokio::test]
    async fn each_outcome_is_acknowledged_as_a_device_does_it() {
        let codes = |fate| course(fate).iter().map(|entry| entry["ac"].clone()).collect::<Vec<_>>();
        assert_eq!(codes(Outcome::Completed), [json!(202), json!(200), json!(200)]);
        assert_eq!(codes(Outcome::RolledBack), [json!(202), json!(200), json!(409)]);
        assert_eq!(codes(Outcome::Failed), [json!(202), json!(422)]);
        assert_eq!(codes(Outcome::Refused), [json!(403)]);
        assert_eq!(course(Outcome::Silent).last(), Some(&json!("vanished")));
        assert_eq!(
            course(Outcome::Completed).last(),
            Some(&json!({
                "version": "1.1.0", "previous": "1.0.0", "state": "settled", "value": { "version": "1.1.0" },
                "ac": 200, "av": 2,
            }))
        );
    }
}
