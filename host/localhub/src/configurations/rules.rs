//! The configurations in force, read and in the order in which they win.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use super::content::{Settings, combine};
use super::wanted::{Metric, metric, target};
use super::{Configuration, Configured, Content, Status};
use crate::query::{Collection, Condition, Row};

/// All of them, the one that wins first.
#[derive(Default)]
pub(super) struct Rules(pub(super) Vec<Rule>);

/// One of them.
pub(super) struct Rule {
    pub(super) id: String,
    /// Whom it is for; `None` is nobody.
    pub(super) target: Option<(Collection, Condition)>,
    settings: Settings,
    pub(super) metrics: BTreeMap<String, Metric>,
}

impl Rules {
    /// Texts that were taken once are taken again; one that is not (it was written by another version of the hub)
    /// targets nothing and is logged.
    pub(super) fn of(all: &[Configuration]) -> Self {
        let mut all: Vec<&Configuration> = all.iter().collect();
        all.sort_by(|a, b| {
            (Reverse((a.priority, a.created)), &a.id).cmp(&(Reverse((b.priority, b.created)), &b.id))
        });
        Self(all.into_iter().map(Rule::of).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the row of a collection is to be configured with.
    pub(super) fn intended(&self, of: Collection, row: &dyn Row) -> Configured {
        let targets = |rule: &&Rule| {
            rule.target
                .as_ref()
                .is_some_and(|(collection, condition)| *collection == of && condition.holds(row))
        };
        let rules: Vec<&Rule> = self.0.iter().filter(targets).collect();
        if rules.is_empty() {
            return Configured::default();
        }
        let (settings, applies) = combine(&rules.iter().map(|rule| &rule.settings).collect::<Vec<_>>());
        let status = |applies: bool| if applies { Status::Applied } else { Status::Targeted };
        let statuses =
            rules.iter().zip(applies).map(|(rule, applies)| (rule.id.clone(), status(applies))).collect();
        let nothing = settings.as_object().is_some_and(serde_json::Map::is_empty);
        Configured { statuses, settings: if nothing { Value::Null } else { settings } }
    }
}

impl Rule {
    fn of(configuration: &Configuration) -> Self {
        let id = configuration.id.clone();
        let unreadable = |what: &str, text: &str| {
            tracing::error!(id, what, text, "a configuration cannot be read; this part of it has no effect");
        };
        let target = target(&configuration.content, &configuration.condition).unwrap_or_else(|fault| {
            unreadable("its target condition", &fault.to_string());
            None
        });
        let settings = match &configuration.content {
            Content::Device(content) | Content::Module(content) => Settings::read(content),
            Content::Modules(_) => Ok(Settings::default()),
        };
        let settings = settings.unwrap_or_else(|text| {
            unreadable("its content", &text);
            Settings::default()
        });
        let mut metrics = BTreeMap::new();
        for (name, text) in &configuration.queries {
            match metric(text) {
                Ok(metric) => drop(metrics.insert(name.clone(), metric)),
                Err(fault) => unreadable("a metric", &fault.to_string()),
            }
        }
        Self { id, target, settings, metrics }
    }
}
