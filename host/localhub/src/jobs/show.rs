//! How jobs and their rows look to operators (`iothub.md` §6.7).

use serde_json::{Map, Value, json};

use super::{Job, Row, State};
use crate::clock;

/// A job in `GET /jobs/v2/{id}`.
pub(crate) fn job(job: &Job, state: &State) -> Value {
    let mut shown = json!({
        "jobId": job.job_id,
        "type": job.kind,
        "queryCondition": job.condition,
        "createdTime": clock::text(job.created),
        "startTime": clock::text(job.start),
        "maxExecutionTimeInSeconds": job.max_seconds,
        "status": state.status,
        "deviceJobStatistics": state.counts,
    });
    let Value::Object(members) = &mut shown else { return shown };
    if let Some(ended) = state.ended {
        members.insert("endTime".into(), clock::text(ended).into());
    }
    if let Some(failure) = &state.failure {
        members.insert("failureReason".into(), failure.as_str().into());
        members.insert("statusMessage".into(), failure.as_str().into());
    }
    if let Some(method) = &job.method {
        members.insert("cloudToDeviceMethod".into(), serde_json::from_str(method.get()).unwrap_or_default());
    }
    if let Some(update) = &job.update {
        members.insert("updateTwin".into(), update.clone());
    }
    shown
}

/// A row of `devices.jobs`.
pub(crate) fn row(id: &str, device: &str, row: &Row) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("deviceId", device.into());
    put("jobId", id.into());
    put("jobType", json!(row.kind));
    put("status", json!(row.state));
    put("createdDateTimeUtc", row.created.as_str().into());
    put("lastUpdatedDateTimeUtc", row.updated.as_str().into());
    if let Some(began) = &row.began {
        put("startTimeUtc", began.as_str().into());
    }
    if let Some(ended) = &row.ended {
        put("endTimeUtc", ended.as_str().into());
    }
    put("outcome", json!({"deviceMethodResponse": row.answer}));
    if let Some((code, description)) = &row.error {
        put("error", json!({"code": code, "description": description}));
    }
    Value::Object(shown)
}
