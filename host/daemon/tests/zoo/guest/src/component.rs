//! The component itself.

use hotshoe_guest::bindings;
use hotshoe_guest::bindings::exports::hotshoe::plugin::{jobs, methods, settings};
use hotshoe_guest::bindings::hotshoe::plugin::{job, types};
use serde_json::Value;

struct Component;

impl methods::Guest for Component {
    fn handle(request: methods::Request) -> Result<methods::Reply, methods::Rejection> {
        let payload = serde_json::from_str(&request.payload).unwrap_or_default();
        crate::methods::handle(&request.name, &payload)
    }
}

impl jobs::Guest for Component {
    fn run(job: &job::Job) -> Result<jobs::Outcome, jobs::Failure> {
        let input: Value = serde_json::from_str(&job.input()).unwrap_or_default();
        Ok(jobs::Outcome::Done(crate::calls::all(&input, Some(job)).to_string()))
    }

    fn adopt(_: String, _: Option<job::Checkpoint>) -> Result<Option<job::Checkpoint>, String> {
        Err("never".to_owned())
    }
}

impl settings::Guest for Component {
    fn apply(_: types::Document) -> settings::Decision {
        settings::Decision::Applied
    }
}

#[allow(unsafe_code)]
const _: () = {
    bindings::export_component!(Component with_types_in bindings);
};
