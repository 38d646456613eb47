//! What is stored of a job.
//!
//! Each state holds only what is valid in it. The record is written whole each time, so that what is on the disk
//! is always one state and never a mixture of two.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wake::Wake;
use super::{Checkpoint, JobId};
use crate::manifest::PluginName;

/// A job as it stands on the disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The plugin that announced it and runs it.
    pub plugin: PluginName,
    /// The version of the plugin that runs it: the one that announced it, or the last one that adopted it.
    pub version: Version,
    /// What it was before it was adopted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What kind of job it is, in the plugin's words.
    pub kind: String,
    /// What it was announced with.
    pub input: Value,
    /// The lane it holds until it has ended.
    pub lane: Option<String>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created: u64,
    /// How often it was begun since the last run that ended well.
    pub attempt: u32,
    /// How often in a row the job or the host under it failed in a way that says nothing about when to try
    /// again: a trap, a time-out, a crash of the host, a restart that did not happen. A new checkpoint or a good end
    /// clears it.
    pub strikes: u32,
    /// The same since the last run that ended well, whatever was saved, and power cuts too.
    pub setbacks: u32,
    /// How often it had the device restarted.
    pub restarts: u32,
    /// Where it stands, in the plugin's words.
    pub checkpoint: Option<Checkpoint>,
    /// What went wrong last, for people.
    pub trouble: Option<String>,
    /// Whether an operator has cancelled it, and how far that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Cancel>,
    /// The slot for which it may have armed a trial boot: stored before that is armed, so that a cancel knows what to
    /// give up whatever was cut where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<String>,
    /// How it has ended, settled and not yet told: the device is still to leave a trial that the job has armed. Its
    /// plugin is not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Ended>,
    /// How often in a row the device's own check has put off what the job wanted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub postponed: u32,
    /// Which of the device's jobs it was to end, counted from one; 0 for one that has not, or under a host that did not
    /// count. The clock does not say who ended last: on many a device it starts in 1970.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended_as: u64,
    /// Where it stands, in the host's words.
    pub state: State,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// How far the cancelling of a job has come. Once there it never goes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cancel {
    /// It was ordered: the run under way is asked to stop, and a trial boot is given up.
    Ordered,
    /// Nothing is armed any more, and the last run was begun, in which the plugin can tell the twin.
    Told,
}

/// What a job was before another version of its plugin adopted it: the way back, should that version be rolled back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Before {
    /// The version that ran it.
    pub version: Version,
    /// Where it stood, in that version's words.
    pub checkpoint: Option<Checkpoint>,
}

/// Where a job stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Stored; the caller may or may not have been told. From here on it is a promise.
    Accepted,
    /// To be run as soon as its plugin is there and the host is not shutting down.
    Ready {
        /// What the run will be told.
        wake: Wake,
    },
    /// A run was begun.
    Running {
        /// The boot in which that was.
        boot_id: String,
    },
    /// To be run later.
    Waiting {
        /// When, in milliseconds since the Unix epoch.
        until: u64,
        /// How long that was from when it was stored, in milliseconds.
        pause: u64,
        /// What the run will be told.
        wake: Wake,
    },
    /// The device is to be restarted, then the job is to be run.
    Restarting {
        /// The boot that is to end.
        boot_id: String,
        /// The slot that is expected to run then; `None` where any will do.
        wanted: Option<String>,
    },
    /// It is over and holds nothing any more.
    Ended {
        /// How.
        outcome: Ended,
        /// When, in milliseconds since the Unix epoch.
        at: u64,
    },
}

/// How a job ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// Well, with what its plugin returned.
    Done(Value),
    /// Badly, and why.
    Failed(String),
    /// An operator has cancelled it.
    Cancelled,
}

impl Job {
    /// Whether it is over: it is never run again and its lane is free.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Its place among the jobs that have ended, the last one's the greatest; `None` for one that has not.
    pub fn end(&self) -> Option<(u64, u64)> {
        match self.state {
            State::Ended { at, .. } => Some((self.ended_as, at)),
            _ => None,
        }
    }

    /// What an operator sees of it.
    pub fn summary(&self) -> JobSummary {
        let state = match &self.state {
            State::Ended { outcome: Ended::Cancelled, .. } => "cancelled",
            State::Ended { outcome: Ended::Done(_), .. } => "done",
            State::Ended { outcome: Ended::Failed(_), .. } => "failed",
            _ if self.cancel.is_some() => "cancelling",
            State::Accepted => "accepted",
            State::Ready { .. } => "ready",
            State::Running { .. } => "running",
            State::Waiting { .. } => "waiting",
            State::Restarting { .. } => "restarting",
        };
        JobSummary {
            id: self.id.clone(),
            plugin: self.plugin.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
            lane: self.lane.clone(),
            state: state.to_owned(),
            phase: self.checkpoint.as_ref().map(|checkpoint| checkpoint.phase.clone()),
            created: self.created,
            attempt: self.attempt,
            trouble: self.trouble.clone(),
        }
    }
}

/// What an operator sees of a job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub plugin: PluginName,
    /// The version of the plugin that runs it.
    pub version: Version,
    /// What kind of job it is, in the plugin's words.
    pub kind: String,
    /// The lane it holds until it has ended.
    pub lane: Option<String>,
    /// `accepted`, `ready`, `running`, `waiting`, `restarting`, `cancelling`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// The phase of its checkpoint.
    pub phase: Option<String>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created: u64,
    /// How often it was begun since the last run that ended well.
    pub attempt: u32,
    /// What went wrong last.
    pub trouble: Option<String>,
}
