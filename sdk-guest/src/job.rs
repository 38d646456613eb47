//! The running job, its typed checkpoints, and the ways a run can end.
//!
//! A checkpoint is an enum whose variants are the phases: each carries what is known from then on and nothing
//! else, so a phase cannot be resumed with data that it does not have.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{download, flash, host, report, storage, telemetry};

/// Where a job stands, as the host keeps it.
pub use crate::bindings::hotshoe::plugin::job::Checkpoint as RawCheckpoint;

/// Why a job runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// For the first time.
    Started,
    /// The pause of [`Outcome::Later`], or of a transient failure, is over.
    Due,
    /// The restart that [`Outcome::Restart`] asked for has happened.
    Restarted {
        /// The slot that runs now.
        slot: String,
        /// Whether it is the slot that the job wanted; false says that the boot loader fell back.
        expected: bool,
    },
    /// The last run was cut short: a power cut, a crash, an unasked restart, a swap, a time-out, a suspension.
    Interrupted,
}

/// How a run ended well.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The job is done; the value is kept with it.
    Done(Value),
    /// Run again after this time, at most 30 days.
    Later(Duration),
    /// Restart the device, then run again. Needs the grant `restart`.
    Restart,
    /// The run stopped because [`Job::should_suspend`] said so.
    Suspended,
}

/// How a run ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work later: the host runs the job again after a growing, jittered pause.
    Transient(String),
    /// It will not work: the job has failed.
    Permanent(String),
}

/// What a job remembers from one run to the next, over restarts and power cuts.
///
/// ```
/// use hotshoe_guest::Checkpoint;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Step {
///     Copying { done: u64 },
///     Cleaning,
/// }
///
/// impl Checkpoint for Step {
///     const SCHEMA: u32 = 1;
///     fn phase(&self) -> &str {
///         match self {
///             Step::Copying { .. } => "copying",
///             Step::Cleaning => "cleaning",
///         }
///     }
/// }
/// ```
pub trait Checkpoint: Serialize + DeserializeOwned {
    /// The version of the layout. Raise it when an older plugin would misread what this one writes.
    const SCHEMA: u32;

    /// The step, for people who watch. At most 64 bytes.
    fn phase(&self) -> &str;

    /// Reads a checkpoint of another schema. The default cannot, and the job fails for good with a text that
    /// names both.
    fn upgrade(schema: u32, bytes: &[u8]) -> Option<Self> {
        let _ = (schema, bytes);
        None
    }
}

/// Why a checkpoint was not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// The phase is over 64 bytes or the bytes over 16 KiB; the number is the limit. No retry helps.
    TooLarge(u32),
    /// The disk refused. A retry may help.
    Io(String),
    /// The checkpoint does not go into JSON. No retry helps.
    NotJson(String),
}

/// The running job.
#[derive(Debug)]
pub struct Job<'run>(&'run host::job::Job);

impl<'run> Job<'run> {
    pub(crate) fn new(job: &'run host::job::Job) -> Job<'run> {
        Job(job)
    }

    /// The host's name for it, unique on the device.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The kind it was announced with.
    pub fn kind(&self) -> String {
        self.0.kind()
    }

    /// The input it was announced with. Input that is no `T` is a permanent failure.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.0.input())
            .map_err(|error| Failure::Permanent(format!("the job's input cannot be read: {error}")))
    }

    /// Why it runs now.
    pub fn wake(&self) -> Wake {
        use crate::bindings::hotshoe::plugin::job::Wake as Raw;
        match self.0.wake() {
            Raw::Started => Wake::Started,
            Raw::Due => Wake::Due,
            Raw::Restarted(boot) => Wake::Restarted { slot: boot.slot, expected: boot.expected },
            Raw::Interrupted => Wake::Interrupted,
        }
    }

    /// How often it was run since the last run that ended well, this one included: 1 and up.
    pub fn attempt(&self) -> u32 {
        self.0.attempt()
    }

    /// What [`store`](Job::store) stored last, by whichever run and boot. None before the first time. One of
    /// an unknown schema, or that cannot be read, is a permanent failure: guessing could undo what was done.
    pub fn load<C: Checkpoint>(&self) -> Result<Option<C>, Failure> {
        let Some(raw) = self.0.checkpoint() else { return Ok(None) };
        if raw.schema != C::SCHEMA {
            return match C::upgrade(raw.schema, &raw.bytes) {
                Some(checkpoint) => Ok(Some(checkpoint)),
                None => Err(Failure::Permanent(format!(
                    "the checkpoint in phase {:?} has schema {}, and this version reads schema {}",
                    raw.phase,
                    raw.schema,
                    C::SCHEMA
                ))),
            };
        }
        serde_json::from_slice(&raw.bytes).map(Some).map_err(|error| {
            Failure::Permanent(format!("the checkpoint in phase {:?} cannot be read: {error}", raw.phase))
        })
    }

    /// Replaces the checkpoint. Durable when it returns.
    pub fn store<C: Checkpoint>(&self, checkpoint: &C) -> Result<(), SaveError> {
        use crate::bindings::hotshoe::plugin::job::Error as Raw;
        let bytes = serde_json::to_vec(checkpoint).map_err(|error| SaveError::NotJson(error.to_string()))?;
        self.0
            .save(&RawCheckpoint { phase: checkpoint.phase().to_owned(), schema: C::SCHEMA, bytes })
            .map_err(|error| match error {
                Raw::TooLarge(limit) => SaveError::TooLarge(limit),
                Raw::Io(text) => SaveError::Io(text),
            })
    }

    /// Shows progress to people who watch. Sent at most once a second, never written to the disk; may be lost.
    pub fn progress(&self, phase: &str, done: u64, total: Option<u64>) {
        self.0.progress(&crate::bindings::hotshoe::plugin::job::Progress {
            phase: phase.to_owned(),
            done,
            total,
        });
    }

    /// Whether the host would like the run to return [`Outcome::Suspended`] soon.
    pub fn should_suspend(&self) -> bool {
        self.0.should_suspend()
    }

    /// Whether an operator has cancelled the job. Nothing can be fetched, written or armed for it any more; what was
    /// armed the host gives up. Report what is to be said of it and return: however the run ends, the job has ended.
    pub fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Transient(text) | Failure::Permanent(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for SaveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveError::TooLarge(limit) => {
                write!(formatter, "the checkpoint is over the limit of {limit} bytes")
            }
            SaveError::Io(text) => write!(formatter, "the checkpoint could not be stored: {text}"),
            SaveError::NotJson(text) => write!(formatter, "the checkpoint does not go into JSON: {text}"),
        }
    }
}

impl std::error::Error for SaveError {}

/// Makes `?` sort errors: those that a retry can help become transient failures, the others permanent ones.
macro_rules! failure_from {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                match error.is_transient() {
                    true => Failure::Transient(error.to_string()),
                    false => Failure::Permanent(error.to_string()),
                }
            }
        })+
    };
}

failure_from!(
    SaveError,
    download::Error,
    flash::Error,
    flash::ReceiveError,
    report::Error,
    storage::Error,
    telemetry::Error
);

impl SaveError {
    /// Whether a retry can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, SaveError::Io(_))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::Permanent(format!("the plugin could not read or write JSON: {error}"))
    }
}
