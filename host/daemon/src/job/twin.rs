//! What the twin shows of jobs: `hotshoe.jobs.<id>` while one runs, `hotshoe.lastFailure` or `hotshoe.lastCancelled`
//! afterwards.
//!
//! Progress is volatile (the outbox drops it while the link is down); the `null` that clears it is durable, so
//! that no twin shows a download for ever.

use std::collections::{BTreeMap, BTreeSet};

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
    let State::Ended { .. } = &job.state else { return None };
    let mut patch = jobs(&job.id, Value::Null);
    if let (Some(Value::Object(host)), Some((name, told))) = (patch.get_mut("hotshoe"), last(job)) {
        host.insert(name.to_owned(), told);
    }
    Some(patch)
}

/// What stays in the twin of a job that did not end well: under which name, and what.
fn last(job: &Job) -> Option<(&'static str, Value)> {
    let State::Ended { outcome, at } = &job.state else { return None };
    let (name, reason) = match outcome {
        Ended::Failed(why) => ("lastFailure", Some(why.as_str())),
        Ended::Cancelled => ("lastCancelled", job.trouble.as_deref()),
        Ended::Done(_) => return None,
    };
    let told = json!({
        "job": job.id, "plugin": job.plugin, "kind": job.kind, "at": whole(*at),
        "reason": reason.map(|reason| shortened(reason, 512)),
    });
    Some((name, told))
}

/// The durable patch for what the twin does not know yet: it shows jobs that are over, or not how the last of them
/// ended. `None` where there is nothing.
pub(super) fn overdue<'a>(reported: &Value, jobs: impl Iterator<Item = &'a Job> + Clone) -> Option<Value> {
    let host = reported.get("hotshoe");
    let live: BTreeSet<&str> =
        jobs.clone().filter(|job| !job.has_ended()).map(|job| job.id.as_str()).collect();
    let shown = host.and_then(|host| host.get("jobs")?.as_object()).into_iter().flatten();
    let over: Map<String, Value> = shown
        .filter(|(id, _)| !live.contains(id.as_str()))
        .map(|(id, _)| (id.clone(), Value::Null))
        .collect();
    let mut ended: Vec<&Job> = jobs.filter(|job| job.has_ended()).collect();
    ended.sort_by_key(|job| job.end());
    let ends: BTreeMap<&str, Value> = ended.into_iter().filter_map(last).collect();
    let mut patch = Map::new();
    if !over.is_empty() {
        patch.insert("jobs".to_owned(), Value::Object(over));
    }
    for (name, told) in ends {
        let known = host.and_then(|host| host.get(name)?.get("job"));
        if known != told.get("job") {
            patch.insert(name.to_owned(), told);
        }
    }
    if patch.is_empty() { None } else { Some(json!({ "hotshoe": patch })) }
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

    /// A job of this number, in this state.
    fn job(number: u64, state: Value) -> Job {
        let job = json!({
            "id": JobId::from_random(number), "plugin": "a.plugin", "version": "1.0.0", "kind": "update",
            "input": null, "lane": null, "created": 1, "attempt": 0, "strikes": 0, "setbacks": 0, "restarts": 0,
            "checkpoint": null, "trouble": null, "state": state,
        });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn what_is_over_is_cleared_and_what_runs_is_left() {
        let jobs =
            [job(1, json!("accepted")), job(2, json!({ "ended": { "outcome": { "done": null }, "at": 5 } }))];
        let [new, old] = &jobs;
        let reported = json!({ "hotshoe": {
            "version": "1", "jobs": { (new.id.as_str()): { "phase": "x" }, (old.id.as_str()): { "phase": "y" } }
        }});
        let patch = overdue(&reported, jobs.iter());
        assert_eq!(patch, Some(json!({ "hotshoe": { "jobs": { (old.id.as_str()): null } } })));
        assert_eq!(overdue(&json!({}), jobs.iter()), None);
    }

    #[test]
    fn an_end_that_was_never_told_is_told_once() {
        let failed =
            |number, at| job(number, json!({ "ended": { "outcome": { "failed": "why" }, "at": at } }));
        let jobs = [failed(2, 7), failed(1, 5)];
        let mut reported = json!({ "hotshoe": { "lastFailure": { "job": jobs[1].id } } });
        let patch = overdue(&reported, jobs.iter()).unwrap();
        assert_eq!(patch["hotshoe"]["lastFailure"]["job"], json!(jobs[0].id));
        assert_eq!(patch["hotshoe"]["lastFailure"]["reason"], "why");
        hotshoe_core::twin::merge(&mut reported, &patch);
        assert_eq!(overdue(&reported, jobs.iter()), None);
    }

    #[test]
    fn a_phase_is_cut_between_characters() {
        assert_eq!(shortened("aé", 2), "a");
        assert_eq!(shortened("aé", 3), "aé");
        assert_eq!(shortened("", 3), "");
    }
}
