//! The generated traits, answered by a [`Plugin`].
//!
//! The one place where the words of the contract become those of this crate. A plugin's panic is a trap: the
//! host throws the instance away and answers 500, or runs the job again.

use std::marker::PhantomData;

use crate::bindings::exports::hotshoe::plugin::{jobs, methods, settings};
use crate::bindings::hotshoe::plugin::{job as raw, types};
use crate::{Decision, Failure, Job, JobSpec, Outcome, Plugin, Rejection, Reply, Request, Response};

/// A plugin as the component model sees it.
#[derive(Debug)]
pub struct Adapter<P>(PhantomData<P>);

impl<P: Plugin> methods::Guest for Adapter<P> {
    fn handle(request: methods::Request) -> Result<methods::Reply, methods::Rejection> {
        let methods::Request { name, payload, call_id } = request;
        match P::handle(Request { name, payload, call_id }) {
            Ok(Reply::Done(response)) => Ok(methods::Reply::Done(response.into())),
            Ok(Reply::Accepted { response, job }) => Ok(methods::Reply::Accepted(methods::Acceptance {
                response: response.into(),
                job: job.into(),
            })),
            Err(rejection) => Err(rejection.into()),
        }
    }
}

impl<P: Plugin> jobs::Guest for Adapter<P> {
    fn run(job: &raw::Job) -> Result<jobs::Outcome, jobs::Failure> {
        match P::run(&Job::new(job)) {
            Ok(Outcome::Done(value)) => Ok(jobs::Outcome::Done(value.to_string())),
            Ok(Outcome::Later(pause)) => {
                Ok(jobs::Outcome::Later(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX)))
            }
            Ok(Outcome::Restart) => Ok(jobs::Outcome::Restart),
            Ok(Outcome::Suspended) => Ok(jobs::Outcome::Suspended),
            Err(Failure::Transient(text)) => Err(jobs::Failure::Transient(text)),
            Err(Failure::Permanent(text)) => Err(jobs::Failure::Permanent(text)),
        }
    }

    fn adopt(
        from_version: String,
        checkpoint: Option<raw::Checkpoint>,
    ) -> Result<Option<raw::Checkpoint>, String> {
        P::adopt(&from_version, checkpoint)
    }
}

impl<P: Plugin> settings::Guest for Adapter<P> {
    fn apply(document: types::Document) -> settings::Decision {
        match P::apply(document.into()) {
            Decision::Applied => settings::Decision::Applied,
            Decision::Started(job) => settings::Decision::Started(job.into()),
            Decision::Refused(text) => settings::Decision::Refused(text),
        }
    }
}

impl From<Response> for methods::Response {
    fn from(response: Response) -> methods::Response {
        methods::Response { status: response.status, payload: response.payload.to_string() }
    }
}

impl From<JobSpec> for types::JobSpec {
    fn from(job: JobSpec) -> types::JobSpec {
        types::JobSpec { kind: job.kind, input: job.input.to_string(), lane: job.lane }
    }
}

impl From<Rejection> for methods::Rejection {
    fn from(rejection: Rejection) -> methods::Rejection {
        match rejection {
            Rejection::UnknownMethod => methods::Rejection::UnknownMethod,
            Rejection::InvalidPayload(text) => methods::Rejection::InvalidPayload(text),
            Rejection::Conflict(text) => methods::Rejection::Conflict(text),
            Rejection::Other(text) => methods::Rejection::Other(text),
        }
    }
}
