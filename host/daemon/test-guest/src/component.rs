//! The component itself: exported past the SDK, which never answers with anything but JSON.

use hotshoe_guest::bindings::exports::hotshoe::plugin::{jobs, methods, settings};
use hotshoe_guest::bindings::hotshoe::plugin::{job, report, types};
use hotshoe_guest::{Adapter, bindings};

use crate::Misbehaving;

struct Component;

impl methods::Guest for Component {
    fn handle(request: methods::Request) -> Result<methods::Reply, methods::Rejection> {
        match request.name.as_str() {
            "notJson" => Ok(methods::Reply::Done(methods::Response {
                status: 200,
                payload: "{ this is no JSON".to_owned(),
            })),
            "reportNotJson" => match report::patch("{ this is no JSON") {
                Ok(()) => Err(methods::Rejection::Other("the host took it".to_owned())),
                Err(error) => Ok(methods::Reply::Done(methods::Response {
                    status: 200,
                    payload: format!("\"{}\"", format!("{error:?}").replace(['"', '\\'], "'")),
                })),
            },
            _ => <Adapter<Misbehaving> as methods::Guest>::handle(request),
        }
    }
}

impl jobs::Guest for Component {
    fn run(job: &job::Job) -> Result<jobs::Outcome, jobs::Failure> {
        <Adapter<Misbehaving> as jobs::Guest>::run(job)
    }

    fn adopt(
        from_version: String,
        checkpoint: Option<job::Checkpoint>,
    ) -> Result<Option<job::Checkpoint>, String> {
        <Adapter<Misbehaving> as jobs::Guest>::adopt(from_version, checkpoint)
    }
}

impl settings::Guest for Component {
    fn apply(document: types::Document) -> settings::Decision {
        <Adapter<Misbehaving> as settings::Guest>::apply(document)
    }
}

#[allow(unsafe_code)]
const _: () = {
    bindings::export_component!(Component with_types_in bindings);
};
