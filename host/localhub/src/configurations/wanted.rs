//! What an operator writes of a configuration, checked before anything is kept of it.
//!
//! A target condition may look at what changes with the twin alone, because it is decided when a twin changes: a
//! condition over the connection would be true at one time and false at another without anybody asking.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::content::Settings;
use super::{Configuration, Content};
use crate::clock;
use crate::fault::Fault;
use crate::identity::{Name, generate_etag};
use crate::query::{self, Collection, Condition};
use crate::twin::{Change, ChangedProperties, Twin};

/// As many custom metrics as IoT Hub takes.
const MOST_METRICS: usize = 5;
const MOST_LABELS: usize = 100;
/// What conditions may look at.
const MEMBERS: [&str; 9] = [
    "deviceId",
    "moduleId",
    "tags",
    "properties",
    "status",
    "statusReason",
    "modelId",
    "authenticationType",
    "capabilities",
];

/// The body of `PUT /configurations/{id}`; what is the hub's to say is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    schema_version: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    content: Option<WantedContent>,
    #[serde(default)]
    target_condition: Option<String>,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(default)]
    metrics: Option<Metrics>,
}

/// `content`: one of the three.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WantedContent {
    #[serde(default)]
    pub(super) device_content: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) module_content: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) modules_content: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
struct Metrics {
    #[serde(default)]
    queries: Option<BTreeMap<String, String>>,
}

/// The body of `POST /configurations/testQueries`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queries {
    #[serde(default)]
    target_condition: Option<String>,
    #[serde(default)]
    custom_metric_queries: Option<BTreeMap<String, String>>,
}

/// A custom metric: the rows it counts, and at most how many.
pub(super) struct Metric {
    pub(super) from: Collection,
    pub(super) condition: Condition,
    pub(super) top: u64,
}

impl Wanted {
    /// The configuration; `present` is what it replaces.
    pub(super) fn complete(self, id: &str, present: Option<&Configuration>) -> Result<Configuration, Fault> {
        let refuse = |text: String| Err(Fault::ArgumentInvalid(text));
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-:+%_#*?!(),=@;'.$".contains(c);
        if !(1..=128).contains(&id.len()) || !id.chars().all(allowed) {
            return refuse(format!(
                "the id {id:?} is not 1 to 128 lower case ASCII letters, digits and -:+%_#*?!(),=@;'.$"
            ));
        }
        if self.id.as_deref().is_some_and(|said| !said.is_empty() && said != id) {
            return refuse(format!("the body's id differs from the path's {id}"));
        }
        let Ok(priority) = u64::try_from(self.priority.unwrap_or(0)) else {
            return refuse("priority is a whole number, 0 or more; the highest wins".into());
        };
        if self.labels.as_ref().is_some_and(|labels| labels.len() > MOST_LABELS) {
            return refuse(format!("there are more than {MOST_LABELS} labels"));
        }
        let content = self.content.map(WantedContent::one).transpose()?;
        let content = match (content, present) {
            (Some(content), Some(present)) if content != present.content => {
                return Err(Fault::ConfigurationContentFixed(id.to_owned()));
            }
            (Some(content), _) => content,
            (None, Some(present)) => present.content.clone(),
            (None, None) => return Err(content_fault("there is none")),
        };
        let condition = self.target_condition.unwrap_or_default().trim().to_owned();
        target(&content, &condition)?;
        let queries = self.metrics.and_then(|metrics| metrics.queries).unwrap_or_default();
        if queries.len() > MOST_METRICS {
            return Err(Fault::ConfigurationMetric(format!(
                "there are more than {MOST_METRICS} custom metrics"
            )));
        }
        queries.values().try_for_each(|text| metric(text).map(drop))?;
        let now = clock::now();
        Ok(Configuration {
            id: id.to_owned(),
            schema_version: self
                .schema_version
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "1.0".into()),
            labels: self.labels,
            content,
            condition,
            priority,
            queries,
            created: present.map_or(now, |present| present.created),
            updated: now,
            etag: generate_etag(),
        })
    }
}

impl WantedContent {
    /// The one member that is said, checked.
    fn one(self) -> Result<Content, Fault> {
        let content = match (self.device_content, self.module_content, self.modules_content) {
            (Some(content), None, None) => Content::Device(content),
            (None, Some(content), None) => Content::Module(content),
            (None, None, Some(content)) => Content::Modules(content),
            _ => return Err(content_fault("it has one of deviceContent, moduleContent and modulesContent")),
        };
        match &content {
            Content::Device(content) | Content::Module(content) => {
                check_settings(content)?;
            }
            Content::Modules(modules) => {
                for (module, content) in modules {
                    Name::module("d", module)?;
                    check_settings(module_settings(module, content)?)?;
                }
            }
        }
        Ok(content)
    }
}

/// What stands under a module's name.
pub(super) fn module_settings<'a>(module: &str, content: &'a Value) -> Result<&'a Map<String, Value>, Fault> {
    content.as_object().ok_or_else(|| content_fault(&format!("what stands under {module:?} is an object")))
}

/// What no twin takes is refused now, not device by device.
pub(super) fn check_settings(content: &Map<String, Value>) -> Result<Settings, Fault> {
    let settings = Settings::read(content).map_err(|text| content_fault(&text))?;
    let refused = |fault: Fault| content_fault(&fault.to_string());
    Twin::new("").change(&desired(settings.tree()), false, "").map_err(refused)?;
    Ok(settings)
}

/// A change of desired properties alone.
pub(super) fn desired(patch: Value) -> Change {
    Change { tags: None, properties: Some(ChangedProperties { desired: Some(patch) }) }
}

fn content_fault(text: &str) -> Fault {
    Fault::ConfigurationContent(format!("the content: {text}"))
}

/// Whom a condition targets, given what is to be set. `FROM devices.modules WHERE` may stand before the condition, as
/// IoT Hub's tools write it for modules.
pub(super) fn target(content: &Content, text: &str) -> Result<Option<(Collection, Condition)>, Fault> {
    let (condition, from) = read_target(text)?;
    let (wanted, is_for_edge) = match content {
        Content::Device(_) => (Collection::Devices, false),
        Content::Module(_) => (Collection::Modules, false),
        Content::Modules(_) => (Collection::Devices, true),
    };
    if from.is_some_and(|from| from != wanted) {
        let text = "the target condition's FROM is not what the content is for: moduleContent is FROM devices.modules";
        return Err(Fault::ConfigurationTarget(text.into()));
    }
    Ok(condition.filter(|_| !is_for_edge).map(|condition| (wanted, condition)))
}

fn read_target(text: &str) -> Result<(Option<Condition>, Option<Collection>), Fault> {
    let (from, rest) = prefix(text);
    if rest.is_empty() {
        return Ok((None, from));
    }
    let condition = query::condition(rest).map_err(|fault| Fault::ConfigurationTarget(fault.to_string()))?;
    if let Some(other) = condition.members().into_iter().find(|member| !MEMBERS.contains(member)) {
        return Err(Fault::ConfigurationTarget(format!(
            "a target condition cannot look at {other:?}; it can at {}",
            MEMBERS.join(", ")
        )));
    }
    Ok((Some(condition), from))
}

/// Cuts `FROM collection WHERE` off.
fn prefix(text: &str) -> (Option<Collection>, &str) {
    let word = |text: &str| -> Option<(String, usize)> {
        let start = text.len() - text.trim_start().len();
        let word = text.split_whitespace().next()?;
        Some((word.to_ascii_lowercase(), start + word.len()))
    };
    let cut = || -> Option<(Collection, &str)> {
        let (from, end) = word(text)?;
        let rest = text.get(end..).filter(|_| from == "from")?;
        let (collection, end) = word(rest)?;
        let collection = match collection.as_str() {
            "devices" => Collection::Devices,
            "devices.modules" => Collection::Modules,
            _ => return None,
        };
        let rest = rest.get(end..)?;
        let Some((keyword, end)) = word(rest) else { return Some((collection, "*")) };
        (keyword == "where").then(|| rest.get(end..)).flatten().map(|rest| (collection, rest.trim()))
    };
    match cut() {
        Some((collection, rest)) => (Some(collection), rest),
        None => (None, text.trim()),
    }
}

/// Reads a custom metric.
pub(super) fn metric(text: &str) -> Result<Metric, Fault> {
    let wrong = |fault: Fault| Fault::ConfigurationMetric(fault.to_string());
    let query = query::parse(text).map_err(wrong)?;
    let (from, condition, top) = query.counted().map_err(wrong)?;
    Ok(Metric { from, condition: condition.clone(), top })
}

impl Queries {
    /// What is wrong with each; `{}` members if nothing is.
    pub(crate) fn tested(&self) -> Value {
        let target = read_target(self.target_condition.as_deref().unwrap_or_default()).err();
        let metrics = self.custom_metric_queries.iter().flatten();
        let wrong: Map<String, Value> = metrics
            .filter_map(|(name, text)| Some((name.clone(), metric(text).err()?.to_string().into())))
            .collect();
        json!({"targetConditionError": target.map(|fault| fault.to_string()), "customMetricQueryErrors": wrong})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_with_and_without_what_they_are_from() {
        let modules = Content::Module(Map::new());
        let devices = Content::Device(Map::new());
        let from =
            |content: &Content, text: &str| target(content, text).map(|target| target.map(|(from, _)| from));
        assert_eq!(from(&devices, "tags.a = 1").unwrap(), Some(Collection::Devices));
        assert_eq!(from(&devices, "").unwrap(), None);
        assert_eq!(
            from(&modules, "from devices.modules where moduleId = 'm'").unwrap(),
            Some(Collection::Modules)
        );
        assert_eq!(from(&modules, "FROM devices.modules").unwrap(), Some(Collection::Modules));
        assert_eq!(from(&Content::Modules(Map::new()), "*").unwrap(), None);
        for (content, text) in [
            (&devices, "from devices.modules where moduleId = 'm'"),
            (&devices, "connectionState = 'Connected'"),
            (&devices, "configurations.a.status = 'Applied'"),
            (&devices, "tags.a ="),
        ] {
            assert_eq!(
                from(content, text).unwrap_err().name(),
                "InvalidConfigurationTargetCondition",
                "{text}"
            );
        }
    }
}
