//! A call of a direct method, and the ways to answer it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// One call of a direct method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method's name, one of those in the manifest.
    pub name: String,
    /// The payload, a JSON text of at most 128 KiB; `null` when the caller gave none.
    pub payload: String,
    /// The host's name for this call, the same in its log.
    pub call_id: String,
}

impl Request {
    /// Reads the payload as a `T`. What does not fit becomes [`Rejection::InvalidPayload`], which tells the
    /// caller what is wrong and where.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        serde_json::from_str(&self.payload).map_err(|error| Rejection::InvalidPayload(error.to_string()))
    }
}

/// What goes back to the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// A status in the manner of HTTP. Any number is passed on as it is.
    pub status: i32,
    /// The answer, at most 128 KiB of JSON text.
    pub payload: Value,
}

/// How a call was taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is done, and this is the answer.
    Done(Response),
    /// It takes longer than a caller waits: the answer is sent once the job is stored, so it is a promise that
    /// survives a power cut. Where the job's lane is taken the caller gets status 409 instead.
    Accepted {
        /// What the caller gets.
        response: Response,
        /// What the host runs afterwards.
        job: JobSpec,
    },
}

impl Reply {
    /// Status 200 with this payload.
    pub fn ok(payload: impl Into<Value>) -> Reply {
        Reply::new(200, payload)
    }

    /// Any status with this payload.
    pub fn new(status: i32, payload: impl Into<Value>) -> Reply {
        Reply::Done(Response { status, payload: payload.into() })
    }

    /// The same answer, and a job announced with it.
    #[must_use]
    pub fn with_job(self, job: JobSpec) -> Reply {
        match self {
            Reply::Done(response) | Reply::Accepted { response, .. } => Reply::Accepted { response, job },
        }
    }
}

/// A job that a plugin asks the host to run.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// What kind of job it is: 1 to 64 of `a-z`, `0-9` and `-`.
    pub kind: String,
    /// What [`Job::input`](crate::Job::input) gives back later. At most 128 KiB of JSON text.
    pub input: Value,
    /// At most one job of a plugin holds a lane at a time. 1 to 64 of `a-z`, `0-9` and `-`.
    pub lane: Option<String>,
}

impl JobSpec {
    /// A job of this kind, without input and beside all others.
    pub fn new(kind: &str) -> JobSpec {
        JobSpec { kind: kind.to_owned(), input: Value::Null, lane: None }
    }

    /// The same job with an input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Value>) -> JobSpec {
        self.input = input.into();
        self
    }

    /// The same job in a lane: a second one is refused with 409 while it is not ended.
    #[must_use]
    pub fn lane(mut self, lane: &str) -> JobSpec {
        self.lane = Some(lane.to_owned());
        self
    }
}

/// Why a call was not taken. The caller gets the status named and `{"error": {"code", "message"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The plugin does not know the method: 404.
    UnknownMethod,
    /// The payload is not what the method takes: 400.
    InvalidPayload(String),
    /// The state of the device forbids it now: 409.
    Conflict(String),
    /// Anything else: 500.
    Other(String),
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::UnknownMethod => formatter.write_str("the plugin does not know the method"),
            Rejection::InvalidPayload(text) | Rejection::Conflict(text) | Rejection::Other(text) => {
                formatter.write_str(text)
            }
        }
    }
}

impl std::error::Error for Rejection {}

impl From<serde_json::Error> for Rejection {
    fn from(error: serde_json::Error) -> Rejection {
        Rejection::Other(format!("the plugin could not write JSON: {error}"))
    }
}
