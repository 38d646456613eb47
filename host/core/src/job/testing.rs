//! Jobs for the tests of this module.

use serde_json::json;

use super::{Ended, Job, JobId, State};

/// A job of `acme.update` on the lane `firmware`, in this state.
pub(super) fn job(state: State) -> Job {
    Job {
        id: JobId::from_random(7),
        plugin: "acme.update".parse().unwrap(),
        version: "1.2.3".parse().unwrap(),
        before: None,
        kind: "update".into(),
        input: json!({"uri": "https://example.com/image"}),
        lane: Some("firmware".into()),
        created: 1_000,
        attempt: 0,
        strikes: 0,
        setbacks: 0,
        restarts: 0,
        checkpoint: None,
        trouble: None,
        cancel: None,
        armed: None,
        over: None,
        postponed: 0,
        ended_as: 0,
        state,
    }
}

/// The state of a job that ended at an arbitrary time.
pub(super) fn ended(outcome: Ended) -> State {
    State::Ended { outcome, at: 2_000 }
}
