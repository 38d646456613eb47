//! How a configuration looks to operators (`iothub.md` §6.9).

use serde_json::{Value, json};

use super::figures::Figures;
use super::{Configuration, Content};
use crate::clock;

/// A configuration in `GET /configurations/{id}`.
pub(crate) fn shown(configuration: &Configuration, figures: Option<&Figures>) -> Value {
    let default = Figures::default();
    let figures = figures.unwrap_or(&default);
    json!({
        "id": configuration.id,
        "schemaVersion": configuration.schema_version,
        "labels": configuration.labels,
        "content": configuration.content,
        "targetCondition": configuration.condition,
        "createdTimeUtc": clock::text(configuration.created),
        "lastUpdatedTimeUtc": clock::text(configuration.updated),
        "priority": configuration.priority,
        "systemMetrics": {
            "results": {"targetedCount": figures.targeted, "appliedCount": figures.applied},
            "queries": {
                "targetedCount": query(configuration, None),
                "appliedCount": query(configuration, Some("Applied")),
            },
        },
        "metrics": {"results": figures.metrics, "queries": configuration.queries},
        "etag": configuration.etag,
    })
}

/// The query whose rows a system metric counts.
fn query(configuration: &Configuration, status: Option<&str>) -> String {
    let what = match configuration.content {
        Content::Module(_) => "SELECT deviceId, moduleId FROM devices.modules",
        Content::Device(_) | Content::Modules(_) => "SELECT deviceId FROM devices",
    };
    let place = format!("configurations.[[{}]]", configuration.id);
    match status {
        Some(status) => format!("{what} WHERE {place}.status = '{status}'"),
        None => format!("{what} WHERE IS_DEFINED({place}.status)"),
    }
}
