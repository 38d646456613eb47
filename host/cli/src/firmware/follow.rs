//! What a twin says about the update that was just begun: a pure function of the twins seen, in their order.
//!
//! The trap is the former update. Its `completed` still stands in the twin when the new one begins, and, when the
//! device was offline meanwhile, may even arrive after it. So a status counts only if it was *set* after the twin that
//! was read before the call (its `$lastUpdated` differs, or where a hub tells none, any property of the update does);
//! and an end that comes without any step of this update before it counts only when it has stood for a while.

use std::collections::BTreeSet;

use serde_json::Value;

/// How often in a row an end must be seen that no step came before.
const STAND: u32 = 6;

/// The properties that an update sets.
const PROPERTIES: [&str; 4] =
    ["firmwareStatus", "downloadComplete", "startedApplyingImage", "lastFirmwareUpdate"];

/// Follows one update.
pub(super) struct Follower {
    before: Marks,
    jobs_before: BTreeSet<String>,
    moved: bool,
    stood: u32,
}

/// What one twin tells.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    /// Nothing of this update yet.
    Waiting,
    /// It is under way.
    Moving(Moving),
    /// It is over.
    Ended(Ended),
}

/// Where an update stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moving {
    /// `standBy`, `downloading`, `applying`, or whatever the device calls it.
    pub(super) phase: String,
    /// Bytes done and, where known, of how many.
    pub(super) progress: Option<(u64, Option<u64>)>,
}

/// How an update ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The device runs the new image and has confirmed it.
    Completed,
    /// It still runs the old one.
    Failed {
        /// What the device says.
        reason: Option<String>,
    },
    /// An operator of the device has cancelled it; the old one runs.
    Cancelled,
    /// It ran the new one and went back.
    RolledBack {
        /// What the device says.
        reason: Option<String>,
    },
}

/// What tells whether an update's properties were set anew.
#[derive(PartialEq)]
struct Marks {
    set: Option<String>,
    values: [Option<Value>; 4],
}

impl Marks {
    fn of(twin: &Value) -> Marks {
        let reported = twin.pointer("/properties/reported").unwrap_or(&Value::Null);
        let set = reported.pointer("/$metadata/firmwareStatus/$lastUpdated").and_then(Value::as_str);
        Marks { set: set.map(str::to_owned), values: PROPERTIES.map(|name| reported.get(name).cloned()) }
    }
}

impl Follower {
    /// Begins with the twin as it is before the call.
    pub(super) fn new(before: &Value) -> Follower {
        let jobs_before = jobs(before).map(|(id, _)| id.clone()).collect();
        Follower { before: Marks::of(before), jobs_before, moved: false, stood: 0 }
    }

    /// Takes the next twin.
    pub(super) fn observe(&mut self, twin: &Value) -> Step {
        let progress = self.progress(twin);
        let reported = twin.pointer("/properties/reported").unwrap_or(&Value::Null);
        let status = reported.get("firmwareStatus").and_then(Value::as_str);
        let Some(status) = status.filter(|_| Marks::of(twin) != self.before) else {
            // The job may be seen before the first status of it is.
            return match progress {
                Some(moving) => self.moving(moving),
                None => Step::Waiting,
            };
        };
        let ended = match status {
            "completed" => Ended::Completed,
            "failed" => Ended::Failed { reason: reason(reported) },
            "cancelled" => Ended::Cancelled,
            "rolledBack" => Ended::RolledBack { reason: reason(reported) },
            phase => {
                // What counts the bytes of the step before says nothing of this one.
                let progress =
                    progress.filter(|moving| moving.phase == phase).and_then(|moving| moving.progress);
                return self.moving(Moving { phase: phase.to_owned(), progress });
            }
        };
        self.stood += 1;
        if self.moved || self.stood >= STAND { Step::Ended(ended) } else { Step::Waiting }
    }

    fn moving(&mut self, moving: Moving) -> Step {
        self.moved = true;
        self.stood = 0;
        Step::Moving(moving)
    }

    /// The progress of a job that was not there before; that of a firmware plugin if there are several.
    fn progress(&self, twin: &Value) -> Option<Moving> {
        let of_firmware = |job: &Value| {
            ["plugin", "kind"].iter().any(|name| {
                job.get(name)
                    .and_then(Value::as_str)
                    .is_some_and(|text| text.to_lowercase().contains("firmware"))
            })
        };
        let (_, job) = jobs(twin)
            .filter(|(id, _)| !self.jobs_before.contains(*id))
            .max_by_key(|(_, job)| of_firmware(job))?;
        let phase = job.get("phase").and_then(Value::as_str)?.to_owned();
        let number = |name: &str| job.get(name).and_then(Value::as_u64);
        Some(Moving { phase, progress: number("done").map(|done| (done, number("total"))) })
    }
}

fn jobs(twin: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let jobs = twin.pointer("/properties/reported/hotshoe/jobs").and_then(Value::as_object);
    jobs.into_iter().flatten().filter(|(_, job)| job.is_object())
}

/// What the device says about a failure: `{code, message}`, or a text.
fn reason(reported: &Value) -> Option<String> {
    let told = reported
        .get("firmwareError")
        .or_else(|| reported.pointer("/iothubDM/firmwareUpdate/error"))
        .filter(|told| !told.is_null())?;
    let text = told.as_str().or_else(|| told.get("message").and_then(Value::as_str));
    Some(text.map_or_else(|| told.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A twin whose `firmwareStatus` was set at a time.
    fn twin(status: &str, set: u32) -> Value {
        json!({"properties": {"reported": {
            "firmwareStatus": status, "$version": set,
            "$metadata": {"firmwareStatus": {"$lastUpdated": format!("2026-11-22T00:00:{set:02}.000Z")}},
        }}})
    }

    fn moving(phase: &str) -> Step {
        Step::Moving(Moving { phase: phase.to_owned(), progress: None })
    }

    #[test]
    fn from_stand_by_to_completed() {
        let mut follower = Follower::new(&json!({"properties": {"reported": {}}}));
        assert_eq!(follower.observe(&json!({"properties": {"reported": {}}})), Step::Waiting);
        for (set, phase) in ["standBy", "downloading", "downloading", "applying"].iter().enumerate() {
            assert_eq!(follower.observe(&twin(phase, set as u32)), moving(phase));
        }
        assert_eq!(follower.observe(&twin("completed", 9)), Step::Ended(Ended::Completed));
    }

    #[test]
    fn the_former_updates_end_is_not_this_ones() {
        for former in ["completed", "failed", "rolledBack"] {
            let mut follower = Follower::new(&twin(former, 1));
            for _ in 0..100 {
                assert_eq!(follower.observe(&twin(former, 1)), Step::Waiting);
            }
            assert_eq!(follower.observe(&twin("standBy", 2)), moving("standBy"));
            assert_eq!(follower.observe(&twin("completed", 3)), Step::Ended(Ended::Completed));
        }
    }

    #[test]
    fn the_same_word_set_anew_is_this_updates_end() {
        // Everything happened between two looks.
        let mut follower = Follower::new(&twin("completed", 1));
        for _ in 1..STAND {
            assert_eq!(follower.observe(&twin("completed", 2)), Step::Waiting);
        }
        assert_eq!(follower.observe(&twin("completed", 2)), Step::Ended(Ended::Completed));
    }

    #[test]
    fn a_late_word_of_the_former_update_does_not_end_this_one() {
        let mut follower = Follower::new(&twin("applying", 1));
        assert_eq!(follower.observe(&twin("completed", 2)), Step::Waiting);
        assert_eq!(follower.observe(&twin("completed", 2)), Step::Waiting);
        assert_eq!(follower.observe(&twin("standBy", 3)), moving("standBy"));
        assert_eq!(follower.observe(&twin("rolledBack", 4)), Step::Ended(Ended::RolledBack { reason: None }));
    }

    #[test]
    fn without_metadata_any_of_its_properties_tells() {
        let plain = |status: &str, last: &str| json!({"properties": {"reported": {"firmwareStatus": status, "lastFirmwareUpdate": last}}});
        let mut follower = Follower::new(&plain("completed", "monday"));
        assert_eq!(follower.observe(&plain("completed", "monday")), Step::Waiting);
        assert_eq!(follower.observe(&plain("downloading", "monday")), moving("downloading"));
        assert_eq!(follower.observe(&plain("completed", "tuesday")), Step::Ended(Ended::Completed));
    }

    #[test]
    fn progress_is_that_of_the_new_firmware_job() {
        let with_jobs = |jobs: Value| json!({"properties": {"reported": {"hotshoe": {"jobs": jobs}}}});
        let old = json!({"plugin": "hotshoe.firmware-update", "phase": "applying", "done": 1, "total": 2});
        let mut follower = Follower::new(&with_jobs(json!({"j0": old})));
        assert_eq!(follower.observe(&with_jobs(json!({"j0": old}))), Step::Waiting);
        let step = follower.observe(&with_jobs(json!({
            "j0": old, "j1": {"plugin": "acme.other", "phase": "x", "done": 5},
            "j2": {"plugin": "hotshoe.firmware-update", "phase": "downloading", "done": 10, "total": null},
            "j3": null, "j4": {"plugin": 7},
        })));
        let progress = Some((10, None));
        assert_eq!(step, Step::Moving(Moving { phase: "downloading".into(), progress }));
    }

    #[test]
    fn bytes_of_the_step_before_are_not_this_steps() {
        let mut follower = Follower::new(&json!({}));
        let mut seen = twin("applying", 1);
        seen["properties"]["reported"]["hotshoe"] =
            json!({"jobs": {"j": {"phase": "downloading", "done": 64, "total": 64}}});
        assert_eq!(follower.observe(&seen), moving("applying"));
        seen["properties"]["reported"]["hotshoe"]["jobs"]["j"]["phase"] = json!("applying");
        let progress = Some((64, Some(64)));
        assert_eq!(follower.observe(&seen), Step::Moving(Moving { phase: "applying".into(), progress }));
    }

    #[test]
    fn a_failure_has_its_reason() {
        let mut follower = Follower::new(&json!({}));
        follower.observe(&twin("standBy", 1));
        let mut failed = twin("failed", 2);
        failed["properties"]["reported"]["firmwareError"] =
            json!({"code": "digest", "message": "digest mismatch"});
        let reason = Some("digest mismatch".to_owned());
        assert_eq!(follower.observe(&failed), Step::Ended(Ended::Failed { reason }));
    }

    #[test]
    fn any_twin_is_safe() {
        let mut follower = Follower::new(&json!(7));
        for twin in
            [json!(null), json!([]), json!({"properties": {"reported": {"firmwareStatus": 3, "hotshoe": 1}}})]
        {
            assert_eq!(follower.observe(&twin), Step::Waiting);
        }
    }
}
