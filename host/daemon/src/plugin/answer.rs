//! What a guest answers, checked and in the host's words.
//!
//! A guest's text is a stranger's: JSON that does not parse, an answer over the limit or a job with a bad name is a
//! failure of the plugin, told as such, and goes no further.

use std::time::Duration;

use hotshoe_core::job::{JobSpec, RunEnd};
use hotshoe_core::method::{MethodResponse, PAYLOAD_LIMIT, Refusal, Rejection};
use serde_json::Value;

use crate::capability::bindings::exports::hotshoe::plugin::jobs::{self, Outcome};
use crate::capability::bindings::exports::hotshoe::plugin::{methods, settings};
use crate::capability::bindings::hotshoe::plugin::{job as types_job, types};
use crate::job::{Adoption, Checkpoint};

/// The longest pause of a job.
const LATER_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest text of a guest that is passed on, in bytes.
const TEXT_LIMIT: usize = 4096;

/// How a method was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is done.
    Done(MethodResponse),
    /// A job does it; the answer may be given once the job is stored.
    Accepted {
        /// The answer.
        response: MethodResponse,
        /// The job.
        job: JobSpec,
    },
}

/// What became of a change of the desired properties.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is in force.
    Applied,
    /// A job does it.
    Started(JobSpec),
    /// It cannot be; why.
    Refused(String),
}

/// What the figures want to know of a guest's answer.
pub(super) trait Verdict {
    /// Whether the guest says that it will not or cannot.
    fn is_error(&self) -> bool;
}

impl<T, E> Verdict for Result<T, E> {
    fn is_error(&self) -> bool {
        self.is_err()
    }
}

impl Verdict for settings::Decision {
    fn is_error(&self) -> bool {
        matches!(self, settings::Decision::Refused(_))
    }
}

/// Nothing was asked: the start code alone.
impl Verdict for () {
    fn is_error(&self) -> bool {
        false
    }
}

fn failed(text: impl Into<String>) -> Refusal {
    Refusal::PluginFailed { text: text.into() }
}

fn json(what: &str, text: &str) -> Result<Value, Refusal> {
    if text.len() > PAYLOAD_LIMIT {
        return Err(failed(format!("{what} has {} bytes, the limit is {PAYLOAD_LIMIT}", text.len())));
    }
    serde_json::from_str(text).map_err(|error| failed(format!("{what} is not JSON: {error}")))
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_LIMIT));
    text
}

fn response(response: &methods::Response) -> Result<MethodResponse, Refusal> {
    Ok(MethodResponse { status: response.status, payload: json("its answer", &response.payload)? })
}

fn spec(spec: types::JobSpec) -> Result<JobSpec, Refusal> {
    let input = json("the input of its job", &spec.input)?;
    let spec = JobSpec { kind: spec.kind, input, lane: spec.lane };
    spec.validate().map_err(|error| failed(error.to_string()))?;
    Ok(spec)
}

/// The answer to a method.
pub(super) fn reply(
    method: &str,
    answer: Result<methods::Reply, methods::Rejection>,
) -> Result<Reply, Refusal> {
    match answer {
        Ok(methods::Reply::Done(done)) => Ok(Reply::Done(response(&done)?)),
        Ok(methods::Reply::Accepted(accepted)) => {
            Ok(Reply::Accepted { response: response(&accepted.response)?, job: spec(accepted.job)? })
        }
        Err(methods::Rejection::UnknownMethod) => Err(Refusal::UnknownMethod(method.to_owned())),
        Err(methods::Rejection::InvalidPayload(text)) => {
            Err(Refusal::Rejected(Rejection::InvalidPayload(bounded(text))))
        }
        Err(methods::Rejection::Conflict(text)) => Err(Refusal::Rejected(Rejection::Conflict(bounded(text)))),
        Err(methods::Rejection::Other(text)) => Err(Refusal::Rejected(Rejection::Other(bounded(text)))),
    }
}

/// A checkpoint, as the guest sees it.
pub(super) fn lowered(checkpoint: Checkpoint) -> types_job::Checkpoint {
    let Checkpoint { phase, schema, bytes } = checkpoint;
    types_job::Checkpoint { phase, schema, bytes }
}

/// What a version says to the checkpoint of another.
pub(super) fn adoption(answer: Result<Option<types_job::Checkpoint>, String>) -> Adoption {
    match answer {
        Err(why) => Adoption::Refused(bounded(why)),
        Ok(None) => Adoption::Taken(None),
        Ok(Some(types_job::Checkpoint { phase, schema, bytes })) => {
            let checkpoint = Checkpoint { phase, schema, bytes };
            match checkpoint.validate() {
                Ok(()) => Adoption::Taken(Some(checkpoint)),
                Err(error) => Adoption::Failed(error.to_string()),
            }
        }
    }
}

/// The answer to a change of the desired properties.
pub(super) fn decision(answer: settings::Decision) -> Result<Decision, Refusal> {
    Ok(match answer {
        settings::Decision::Applied => Decision::Applied,
        settings::Decision::Started(job) => Decision::Started(spec(job)?),
        settings::Decision::Refused(text) => Decision::Refused(bounded(text)),
    })
}

/// How a run of a job ended.
pub(super) fn end(answer: Result<Outcome, jobs::Failure>, may_restart: bool) -> RunEnd {
    match answer {
        Ok(Outcome::Done(result)) => match json("the result of its job", &result) {
            Ok(result) => RunEnd::Done(result),
            Err(refusal) => RunEnd::Trapped(refusal.to_string()),
        },
        Ok(Outcome::Later(pause)) => RunEnd::Later(Duration::from_nanos(pause).min(LATER_LIMIT)),
        Ok(Outcome::Restart) if may_restart => RunEnd::Restart,
        Ok(Outcome::Restart) => {
            RunEnd::Permanent("the plugin asks for a restart and was not granted it".into())
        }
        Ok(Outcome::Suspended) => RunEnd::Suspended,
        Err(jobs::Failure::Transient(text)) => RunEnd::Transient(bounded(text)),
        Err(jobs::Failure::Permanent(text)) => RunEnd::Permanent(bounded(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn done(payload: &str) -> Result<methods::Reply, methods::Rejection> {
        Ok(methods::Reply::Done(methods::Response { status: 200, payload: payload.into() }))
    }

    #[test]
    fn an_answer_that_is_no_json_or_too_large_is_the_plugins_failure() {
        assert_eq!(
            reply("ping", done("{\"a\":1}")).unwrap(),
            Reply::Done(MethodResponse { status: 200, payload: json!({"a": 1}) })
        );
        let large = format!("\"{}\"", "x".repeat(PAYLOAD_LIMIT - 1));
        for payload in ["", "{", "nonsense", &"[".repeat(100_000), &large] {
            let Err(Refusal::PluginFailed { text }) = reply("ping", done(payload)) else {
                panic!("{:.20} was taken", payload)
            };
            assert!(text.starts_with("its answer"), "{text}");
        }
    }

    #[test]
    fn a_job_with_a_bad_name_is_not_announced() {
        let job = types::JobSpec { kind: "Update!".into(), input: "null".into(), lane: None };
        assert!(matches!(decision(settings::Decision::Started(job)), Err(Refusal::PluginFailed { .. })));
    }

    #[test]
    fn a_restart_needs_the_grant_and_a_pause_has_an_end() {
        assert_eq!(end(Ok(Outcome::Restart), true), RunEnd::Restart);
        assert!(matches!(end(Ok(Outcome::Restart), false), RunEnd::Permanent(_)));
        assert_eq!(end(Ok(Outcome::Later(u64::MAX)), true), RunEnd::Later(LATER_LIMIT));
        assert!(matches!(end(Ok(Outcome::Done("garbage".into())), true), RunEnd::Trapped(_)));
    }
}
