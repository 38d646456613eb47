//! Firmware update: the direct method `firmwareUpdate` as the well-known tutorials call it, and the desired
//! section `firmware` of a later one.
//!
//! The method answers at once and announces a job; the job fetches the image, stages it in the spare slot, arms
//! one trial boot, asks for a restart, and confirms what it finds running afterwards. An image that is known before it
//! is fetched goes straight from the network into its slot; several images go into the parts of one group, all or none.
//! No byte of any passes through here. Which words the twin is told in is a setting of the device:
//!
//! ```toml
//! [[plugins]]
//! file = "plugins/firmware-update.wasm"
//! settings = { dialects = ["python", "iothubDM", "firmware"] }   # `python` alone where nothing is set
//! ```
//!
//! | File | Question it answers |
//! |---|---|
//! | [`payload`] | what may a caller send, and what is it told when it may not |
//! | [`update`] | what happens, in which order, and after an interruption |
//! | `streamed` | how images come straight into their slots |
//! | [`place`] | which slot is for which image |
//! | [`dialect`] | what does the twin say |
//! | [`section`] | what does a change of the desired properties do |
//! | [`trouble`] | which errors are tried again, and what is told about the others |
//!
//! What it does not do: it does not judge who vouches for an image; the device's policy does, in the host.

pub mod dialect;
pub mod payload;
pub mod place;
pub mod section;
mod streamed;
pub mod trouble;
pub mod update;

use hotshoe_guest::{
    Checkpoint, Decision, Document, Failure, Job, JobSpec, Outcome, Plugin, RawCheckpoint, Rejection, Reply,
    Request,
};
use serde_json::json;

use crate::payload::Order;

/// The plugin.
#[derive(Debug)]
pub struct FirmwareUpdate;

impl Plugin for FirmwareUpdate {
    fn handle(request: Request) -> Result<Reply, Rejection> {
        match request.name.as_str() {
            "firmwareUpdate" => {
                let order = payload::parse(&request.parse()?).map_err(Rejection::InvalidPayload)?;
                Ok(Reply::ok(json!({ "Response": "Firmware update started" })).with_job(job(&order)?))
            }
            _ => Err(Rejection::UnknownMethod),
        }
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        update::run(job)
    }

    fn adopt(from_version: &str, checkpoint: Option<RawCheckpoint>) -> Result<Option<RawCheckpoint>, String> {
        match checkpoint {
            Some(checkpoint) if !update::Step::reads(checkpoint.schema) => Err(format!(
                "the checkpoint of version {from_version} has schema {}, and this version reads {}",
                checkpoint.schema,
                update::Step::SCHEMA
            )),
            checkpoint => Ok(checkpoint),
        }
    }

    fn apply(document: Document) -> Decision {
        section::apply(&document)
    }
}

/// The job for an order. All orders share one lane: a second one is refused while the first is not ended.
pub(crate) fn job(order: &Order) -> Result<JobSpec, serde_json::Error> {
    Ok(JobSpec::new("update").lane("firmware").input(serde_json::to_value(order)?))
}

hotshoe_guest::export!(FirmwareUpdate);
