//! A firmware update on a simulated device: what is told in which phase, and when the device restarts.
//!
//! The words are the first-party plugin's: its own functions read the order and write the patches, so that a service
//! cannot tell the difference. The phases are those that its watchers see.

use firmware_update::{
    dialect::{self, Dialect, News},
    payload::Order,
    trouble::{Stage, Trouble},
};
use hotshoe_core::job::JobId;
use serde_json::{Map, Value, json};

use super::script::Outcome;
use crate::random::Random;

/// An update on its way.
#[derive(Clone, Debug)]
pub(super) struct Update {
    pub(super) job: JobId,
    order: Order,
    /// What the device runs if it goes well.
    pub(super) version: String,
    fate: Fate,
    phase: Phase,
}

/// Where an update ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Completed,
    FailedDownload,
    FailedApply,
    RolledBack,
    Silent,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begin,
    Accepted,
    Downloading,
    Applying,
    Restart,
    Trial,
}

/// What a device does next.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Next {
    /// Tells this, and waits for the next phase.
    Tell(Value),
    /// Tells this, and is down for a phase.
    Restart(Value),
    /// Is never heard of again.
    Vanish,
    /// Tells this; it is over.
    Over(Value, Outcome),
}

impl Update {
    pub(super) fn new(order: Order, outcome: Outcome, random: &mut Random) -> Update {
        let fate = match outcome {
            Outcome::Failed if random.one_in(2) => Fate::FailedDownload,
            Outcome::Failed => Fate::FailedApply,
            Outcome::RolledBack => Fate::RolledBack,
            Outcome::Silent => Fate::Silent,
            Outcome::Completed | Outcome::Refused | Outcome::Offline => Fate::Completed,
        };
        let digest = order.digest.as_deref().and_then(|digest| digest.split_once(':'));
        let short = digest.map(|(_, digits)| digits.chars().take(12).collect());
        let version = order.version.clone().or(short).unwrap_or_else(|| "unversioned".to_owned());
        Update { job: JobId::from_random(random.bits()), order, version, fate, phase: Phase::Begin }
    }

    /// The next phase on a device that runs this version.
    pub(super) fn advance(&mut self, dialects: &[Dialect], running: &str) -> Next {
        let now = timestamp();
        let tell = |news: News<'_>| dialect::patch(dialects, news, &now);
        let (next, phase) = match self.phase {
            Phase::Begin => {
                let news = News::Waiting { order: &self.order, running: Some(running) };
                (Next::Tell(tell(news)), Phase::Accepted)
            }
            Phase::Accepted => (Next::Tell(tell(News::Downloading)), Phase::Downloading),
            Phase::Downloading if self.fate == Fate::FailedDownload => {
                let words = format!("{}: the server answered 404 Not Found", self.order.shown_uri());
                return self.failed(tell, running, Stage::Download, "http", words);
            }
            Phase::Downloading => {
                let mut patch = tell(News::Downloaded);
                merge(&mut patch, tell(News::Applying { slot: "b" }));
                (Next::Tell(patch), Phase::Applying)
            }
            Phase::Applying if self.fate == Fate::FailedApply => {
                let words = "slot b: the disk failed while it was written".to_owned();
                return self.failed(tell, running, Stage::Apply, "disk", words);
            }
            Phase::Applying if self.fate == Fate::Silent => (Next::Vanish, Phase::Applying),
            Phase::Applying => (Next::Tell(tell(News::Restarting)), Phase::Restart),
            Phase::Restart => (Next::Restart(json!({})), Phase::Trial),
            Phase::Trial if self.fate == Fate::RolledBack => {
                let version = &self.version;
                let words = format!("slot b with version {version} did not stay up; {running} runs again");
                let mut patch = tell(News::RolledBack { running: Some(running), message: &words });
                merge(&mut patch, self.ended(Some(&words)));
                (Next::Over(patch, Outcome::RolledBack), Phase::Trial)
            }
            Phase::Trial => {
                let mut patch = tell(News::Completed { version: &self.version });
                merge(&mut patch, self.ended(None));
                (Next::Over(patch, Outcome::Completed), Phase::Trial)
            }
        };
        self.phase = phase;
        next
    }

    /// The volatile entry of the job in the twin.
    pub(super) fn progress(&self) -> Value {
        let (phase, done) = match self.phase {
            Phase::Begin | Phase::Accepted | Phase::Downloading => ("downloading", 40),
            Phase::Applying => ("applying", 70),
            Phase::Restart | Phase::Trial => ("booting", 100),
        };
        job(
            &self.job,
            json!({
                "plugin": "hotshoe.firmware-update", "kind": "update", "phase": phase, "done": done, "total": 100,
            }),
        )
    }

    fn failed(
        &self,
        tell: impl Fn(News<'_>) -> Value,
        running: &str,
        stage: Stage,
        code: &'static str,
        message: String,
    ) -> Next {
        let trouble = Trouble { stage, code, message: message.clone(), transient: false };
        let mut patch = tell(News::Failed { trouble: &trouble, boots: Some(running) });
        merge(&mut patch, self.ended(Some(&message)));
        Next::Over(patch, Outcome::Failed)
    }

    /// The host's own word on a job that is over.
    fn ended(&self, failure: Option<&str>) -> Value {
        let mut patch = job(&self.job, Value::Null);
        if let (Some(Value::Object(host)), Some(reason)) = (patch.get_mut("hotshoe"), failure) {
            let at = jiff::Timestamp::now().as_millisecond();
            let told = json!({
                "job": self.job.to_string(), "plugin": "hotshoe.firmware-update", "kind": "update", "at": at,
                "reason": reason,
            });
            host.insert("lastFailure".to_owned(), told);
        }
        patch
    }
}

fn job(id: &JobId, entry: Value) -> Value {
    let mut jobs = Map::new();
    jobs.insert(id.to_string(), entry);
    json!({ "hotshoe": { "jobs": jobs } })
}

/// The moment, as the device's host writes it.
pub(super) fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Adds the members of one object to another, and of the objects in them.
pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use firmware_update::payload;

    use super::*;

    fn course(outcome: Outcome) -> (Vec<String>, Value) {
        let order =
            payload::parse(&json!({ "fwPackageUri": "https://example.com/x.img", "version": "2.0.0" }))
                .unwrap();
        let mut update = Update::new(order, outcome, &mut Random::new(5));
        let (mut seen, mut twin) = (Vec::new(), json!({}));
        loop {
            let (patch, over) = match update.advance(&[Dialect::Python], "1.0.0") {
                Next::Tell(patch) => (patch, false),
                Next::Restart(patch) => {
                    seen.push("restart".to_owned());
                    (patch, false)
                }
                Next::Over(patch, end) => {
                    assert_eq!(end, outcome);
                    (patch, true)
                }
                Next::Vanish => {
                    assert_eq!(outcome, Outcome::Silent);
                    return (seen, twin);
                }
            };
            hotshoe_core::twin::merge(&mut twin, &patch);
            let status = twin["firmwareStatus"].as_str().unwrap().to_owned();
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            if over {
                return (seen, twin);
            }
        }
    }

    #[test]
    fn each_outcome_is_told_as_the_plugin_tells_it() {
        let (seen, twin) = course(Outcome::Completed);
        assert_eq!(seen, ["standBy", "downloading", "applying", "restart", "applying", "completed"]);
        assert!(twin["lastFirmwareUpdate"].is_string() && twin["downloadComplete"].is_string());
        assert_eq!(twin["hotshoe"]["jobs"], json!({}));
        let (seen, twin) = course(Outcome::RolledBack);
        assert_eq!(seen.last().unwrap(), "rolledBack");
        assert_eq!(twin["firmwareError"]["code"], "rolledBack");
        let (seen, twin) = course(Outcome::Failed);
        assert_eq!(seen.last().unwrap(), "failed");
        assert!(twin["firmwareError"]["message"].is_string());
        assert_eq!(twin["hotshoe"]["lastFailure"]["kind"], "update");
        assert_eq!(course(Outcome::Silent).0.last().unwrap(), "applying");
    }
}
