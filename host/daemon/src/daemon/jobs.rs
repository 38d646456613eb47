//! The host's own method about jobs: `hotshoe.jobs.cancel`.
//!
//! Answered with 202 once the cancel is on the disk; the end stands in the twin, as `hotshoe.lastCancelled`. Where the
//! job cannot be cancelled any more the answer is 409 and says why.

use hotshoe_core::method::MethodResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::job::{JobId, Jobs};

/// `{id}`
pub(super) const CANCEL: &str = "hotshoe.jobs.cancel";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: JobId,
}

/// Cancels a job.
pub(super) async fn cancel(jobs: &Jobs, payload: &Value) -> MethodResponse {
    let Named { id } = match Named::deserialize(payload) {
        Ok(named) => named,
        Err(error) => {
            let message = format!("the payload names no job: {error}; send {{\"id\": \"…\"}}");
            return refused(400, "invalidPayload", &message);
        }
    };
    match jobs.cancel(&id).await {
        Ok(job) => MethodResponse { status: 202, payload: json!({ "job": job }) },
        Err(error) => refused(error.status(), error.code(), &error.to_string()),
    }
}

fn refused(status: i32, code: &str, message: &str) -> MethodResponse {
    MethodResponse { status, payload: json!({ "error": { "code": code, "message": message } }) }
}
