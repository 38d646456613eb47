//! What an operator writes of a job, checked before anything is kept of it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Job, Kind};
use crate::clock;
use crate::fault::Fault;
use crate::query;
use crate::rest::{Call, seconds};
use crate::twin::{Change, Twin};

/// IoT Hub's own.
const USUAL_SECONDS: u64 = 3600;
/// As long as jobs are kept.
const MOST_SECONDS: u64 = 30 * 24 * 3600;

/// The body of `PUT /jobs/v2/{id}`; what is the hub's to say is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    #[serde(default)]
    job_id: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    query_condition: Option<String>,
    #[serde(default)]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    max_execution_time_in_seconds: Option<u64>,
    #[serde(default)]
    cloud_to_device_method: Option<Box<RawValue>>,
    #[serde(default)]
    update_twin: Option<Value>,
}

impl Wanted {
    /// The job, due now unless it says when.
    pub(crate) fn job(self, id: &str) -> Result<Job, Fault> {
        let refuse = |text: String| Err(Fault::ArgumentInvalid(text));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if !(1..=128).contains(&id.len()) || !id.chars().all(allowed) {
            return refuse(format!("the job id {id:?} is not 1 to 128 ASCII letters, digits and -_.:"));
        }
        if self.job_id.as_deref().is_some_and(|said| !said.is_empty() && said != id) {
            return refuse(format!("the body's jobId differs from the path's {id}"));
        }
        let kind = match self.kind.as_deref() {
            Some("scheduleDeviceMethod") => Kind::Method,
            Some("scheduleUpdateTwin") => Kind::Twin,
            other => {
                return refuse(format!(
                    "type is scheduleDeviceMethod or scheduleUpdateTwin, not {:?}",
                    other.unwrap_or_default()
                ));
            }
        };
        let condition = self.query_condition.filter(|text| !text.trim().is_empty());
        let condition = match condition {
            Some(condition) => condition,
            None => return refuse("queryCondition is missing; * is for all devices".into()),
        };
        query::condition(&condition)?;
        let created = clock::now();
        let start = match self.start_time.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => time(text)?,
            None => created,
        };
        let max_seconds =
            self.max_execution_time_in_seconds.filter(|seconds| *seconds > 0).unwrap_or(USUAL_SECONDS);
        if max_seconds > MOST_SECONDS {
            return refuse(format!("maxExecutionTimeInSeconds is {max_seconds}, more than {MOST_SECONDS}"));
        }
        let (method, update) = match kind {
            Kind::Method => (Some(method(self.cloud_to_device_method)?), None),
            Kind::Twin => (None, Some(update(self.update_twin)?)),
        };
        let job_id = id.to_owned();
        Ok(Job { job_id, kind, condition, created, start, max_seconds, method, update })
    }
}

/// ISO 8601; without an offset it is UTC, as Python's `isoformat` leaves it.
fn time(text: &str) -> Result<Timestamp, Fault> {
    let without = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let wrong = || Fault::ArgumentInvalid(format!("startTime {text:?} is not a time in ISO 8601"));
    text.parse::<Timestamp>().ok().or_else(without).ok_or_else(wrong)
}

fn method(text: Option<Box<RawValue>>) -> Result<Box<RawValue>, Fault> {
    let text = text.ok_or_else(|| Fault::ArgumentInvalid("cloudToDeviceMethod is missing".into()))?;
    Call::read(text.get())?.invocation()?;
    Ok(text)
}

fn update(update: Option<Value>) -> Result<Value, Fault> {
    let update = update.ok_or_else(|| Fault::ArgumentInvalid("updateTwin is missing".into()))?;
    let tag = update.get("etag").and_then(Value::as_str).unwrap_or_default();
    if tag.trim_matches('"') != "*" {
        return Err(Fault::ArgumentInvalid(format!("updateTwin.etag is {tag:?}; only * is accepted")));
    }
    let change = change(&update)?;
    // What no twin takes is refused now, not device by device.
    Twin::new("").change(&change, false, "")?;
    Ok(update)
}

/// The change that an `updateTwin` asks for.
pub(super) fn change(update: &Value) -> Result<Change, Fault> {
    serde_json::from_value(update.clone())
        .map_err(|error| Fault::ArgumentInvalid(format!("updateTwin is not a twin: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_come_with_and_without_their_offset() {
        let zulu = time("2026-11-23T10:00:00.1234567Z").unwrap();
        assert_eq!(time("2026-11-23T10:00:00.1234567").unwrap(), zulu);
        assert_eq!(time("2026-11-23T12:00:00.1234567+02:00").unwrap(), zulu);
        assert_eq!(time("tomorrow").unwrap_err().code(), 400_004);
    }
}
