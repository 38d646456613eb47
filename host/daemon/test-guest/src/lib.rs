//! A plugin that misbehaves on request, for the daemon's tests.
//!
//! Each method does one bad thing, or reports how the host met it; see [`methods`]. `startJob` takes
//! `{"kind": …, "input": …, "lane": …}` and announces that job; see [`jobs`] for the kinds. The desired section
//! `test` may say `{"refuse": text}`, `{"job": kind}`, `{"trap": true}`; anything else is applied.

mod jobs;
mod marker;
mod methods;

#[cfg(target_arch = "wasm32")]
mod component;

use hotshoe_guest::{
    Decision, Document, Failure, Job, JobSpec, Outcome, Plugin, RawCheckpoint, Rejection, Reply, Request,
};
use serde_json::Value;

/// The plugin.
#[derive(Debug)]
pub struct Misbehaving;

impl Plugin for Misbehaving {
    fn handle(request: Request) -> Result<Reply, Rejection> {
        methods::handle(&request)
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        jobs::run(job)
    }

    fn adopt(from_version: &str, checkpoint: Option<RawCheckpoint>) -> Result<Option<RawCheckpoint>, String> {
        match marker::word("adopt") {
            Some("refuse") => Err(format!("the test wants a job of {from_version} refused")),
            Some("trap") => methods::trap(),
            _ => Ok(checkpoint),
        }
    }

    fn apply(document: Document) -> Decision {
        let properties: Value = document.parse().unwrap_or_default();
        if let Some(text) = properties.get("refuse").and_then(Value::as_str) {
            return Decision::Refused(text.to_owned());
        }
        if let Some(kind) = properties.get("job").and_then(Value::as_str) {
            return Decision::Started(JobSpec::new(kind).input(properties.clone()).lane("test"));
        }
        if properties.get("trap").is_some() {
            methods::trap();
        }
        Decision::Applied
    }
}
