//! What the twin shows of jobs: `hotshoe.jobs.<id>` while one runs, `hotshoe.lastFailure` or `hotshoe.lastCancelled`
//! afterwards.
//!
//! Progress is volatile (the outbox drops it while the link is down); the `null` that clears it is durable, so
//! that no twin shows a download for ever.

use hotshoe_core::job::{Ended, Job, JobId, PHASE_LIMIT, Progress, State};
use serde_json::{Map, Value, json};

/// The volatile patch that shows how far a job has come.
pub(super) fn progress(job: &Job, progress: &Progress) -> Value {
    let entry = json!({
        "plugin": job.plugin,
        "kind": job.kind,
        "phase": shortened(&progress.phase, PHASE_LIMIT),
        "done": whole(progress.done),
        "total": progress.total.map(whole),
    });
    jobs(&job.id, entry)
}

/// The durable patch for a job that has ended; `None` for one that has not.
pub(super) fn ended(job: &Job) -> Option<Value> {
    let State::Ended { outcome, at } = &job.state else { return None };
    let mut patch = jobs(&job.id, Value::Null);
    let told = |reason: Option<&str>| {
        json!({
            "job": job.id, "plugin": job.plugin, "kind": job.kind, "at": whole(*at),
            "reason": reason.map(|reason| shortened(reason, 512)),
        })
    };
    if let Some(Value::Object(host)) = patch.get_mut("hotshoe") {
        match outcome {
            Ended::Failed(why) => host.insert("lastFailure".to_owned(), told(Some(why))),
            Ended::Cancelled => host.insert("lastCancelled".to_owned(), told(job.trouble.as_deref())),
            Ended::Done(_) => None,
        };
    }
    Some(patch)
}

/// The durable patch that clears what the twin still shows of jobs that are over; `None` where there is nothing.
pub(super) fn cleared(reported: &Value, is_live: impl Fn(&str) -> bool) -> Option<Value> {
    let shown = reported.get("hotshoe")?.get("jobs")?.as_object()?;
    let over: Map<String, Value> =
        shown.keys().filter(|id| !is_live(id)).map(|id| (id.clone(), Value::Null)).collect();
    if over.is_empty() { None } else { Some(json!({ "hotshoe": { "jobs": over } })) }
}

fn jobs(id: &JobId, entry: Value) -> Value {
    let mut jobs = Map::new();
    jobs.insert(id.to_string(), entry);
    json!({ "hotshoe": { "jobs": jobs } })
}

/// Twin integers are 52 bits wide and some more; a count beyond is shown as the largest.
fn whole(number: u64) -> u64 {
    number.min((1 << 52) - 1)
}

/// The text up to so many bytes, cut between characters.
fn shortened(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_cleared_and_what_runs_is_left() {
        let reported =
            json!({"hotshoe": {"version": "1", "jobs": {"old": {"phase": "x"}, "new": {"phase": "y"}}}});
        let patch = cleared(&reported, |id| id == "new");
        assert_eq!(patch, Some(json!({"hotshoe": {"jobs": {"old": null}}})));
        assert_eq!(cleared(&reported, |_| true), None);
        assert_eq!(cleared(&json!({}), |_| true), None);
    }

    #[test]
    fn a_phase_is_cut_between_characters() {
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("aé", 3), "aé");
        assert_eq!(shortened("", 3), "");
    }
}
