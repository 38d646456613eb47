//! How far a rollout has come, as it stands at the hub beside its plan.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far it has come.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    /// Where it stands.
    pub(crate) state: State,
    /// Why it is paused or was aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The waves, once every device has its tag.
    #[serde(default)]
    pub(crate) waves: Vec<Wave>,
}

/// Where a rollout stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// Devices get the tag that says to which wave they belong; none was called.
    #[default]
    Tagging,
    /// Waves are called, one after the other.
    Running,
    /// The wave under way ends; no other begins.
    Paused,
    /// No other wave begins, ever.
    Aborted,
    /// All waves have ended.
    Completed,
}

/// How far a wave has come.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wave {
    /// How many devices belong to it.
    pub(crate) devices: usize,
    /// When it was begun, by the hub's time: written before its job is handed to the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    /// When all its devices had come to an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// Whether an operator goes on although it has proved nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) accepted: bool,
}

impl Progress {
    /// The wave that was begun last, counted from 0.
    pub(crate) fn current(&self) -> Option<usize> {
        self.waves.iter().rposition(|wave| wave.started.is_some())
    }

    /// The wave that was begun and has not ended, counted from 0.
    pub(crate) fn under_way(&self) -> Option<usize> {
        self.current().filter(|current| self.waves.get(*current).is_some_and(|wave| wave.ended.is_none()))
    }
}

impl State {
    /// Whether no device is called any more, whoever goes on.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, State::Aborted | State::Completed)
    }

    /// Its name for people and in reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Tagging => "tagging",
            State::Running => "running",
            State::Paused => "paused",
            State::Aborted => "aborted",
            State::Completed => "completed",
        }
    }
}
