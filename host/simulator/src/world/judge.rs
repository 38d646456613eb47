//! What must hold, whatever goes wrong: looked at from outside, with as little of the device's code as can be.
//!
//! Where a report or a promise is judged, what counts is what would be left if the power went at that moment and the
//! disk lost everything that it may lose.

use std::cell::RefCell;

use hotshoe_core::job::JobId;
use hotshoed::{disk::Folder, flash::boot, state::StateDir};
use serde_json::Value;

use super::{Answer, Cancelled, Character, State};
use crate::{
    disk::Loss,
    machine::Machine,
    plan::{Fault, Seed, Step},
};

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Has every panic written down, instead of printed.
pub fn watch_for_panics() {
    std::panic::set_hook(Box::new(|panic| PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()))));
}

/// The panics on this thread since this was asked last.
pub fn panics() -> Vec<String> {
    PANICS.take()
}

/// Whether what was booted may be: something whole, that was vouched for. What was confirmed may write to itself.
pub(super) fn booted(state: &State, slot: &str, trial: bool) -> Result<Character, String> {
    let image = if trial { state.whole_in(slot) } else { state.image_in(slot) };
    let Some(image) = image else {
        return Err(format!(
            "slot {slot} is booted{} and holds no whole image",
            if trial { " on trial" } else { "" }
        ));
    };
    if matches!(image.character, Character::NeverBoots | Character::KillsItsHost) && !trial {
        return Err(format!("slot {slot} is booted for good, and its image {} never came up", image.version));
    }
    Ok(image.character)
}

impl State {
    /// What is left for sure if the power goes now.
    fn at_worst(&self) -> State {
        let mut worst = self.clone();
        let State { disk, random, .. } = &mut worst;
        disk.cut(Loss::Everything, random);
        worst
    }

    /// What is false in a patch of the twin at the moment in which it arrives.
    pub(super) fn false_reports(&self, patch: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let firmware = |name: &str| patch.get("firmware").and_then(|firmware| firmware.get(name));
        let (Some(status), version) = (firmware("status").and_then(Value::as_str), firmware("version"))
        else {
            return wrong;
        };
        let version = version.and_then(Value::as_str).unwrap_or_default();
        let slot = firmware("slot").and_then(Value::as_str).unwrap_or_default();
        let holds = self.image_kept_in(slot).is_some_and(|image| image.version == version);
        let record = self.record_kept();
        match status {
            "restarting" if !holds => {
                wrong.push(format!("the twin is told that slot {slot} is ready, and a power cut could still undo that"));
            }
            "completed" if record.good != slot || !holds => wrong.push(format!(
                "the twin is told that slot {slot} runs for good, and a power cut could still undo that: {record:?}"
            )),
            "rolledBack" if record.good == slot => {
                wrong.push(format!("the twin is told that slot {slot} was given up, and it boots for good"));
            }
            _ => {}
        }
        if !self.outbox_holds(status) {
            wrong.push(format!(
                "the twin is told {status:?} before the outbox has it for good: a cut would take it back"
            ));
        }
        wrong
    }

    /// Whether the outbox on the disk would tell this again after a power cut.
    fn outbox_holds(&self, status: &str) -> bool {
        let kept = self.kept_value("hub", "outbox").unwrap_or(Value::Null);
        let waiting =
            kept.get("pending").and_then(Value::as_array).into_iter().flatten().chain(kept.get("inflight"));
        let told = |patch: &Value| patch.pointer("/firmware/status").and_then(Value::as_str) == Some(status);
        waiting.into_iter().any(told)
    }

    /// What is wrong with promising this job.
    pub(super) fn empty_promise(&self, id: &JobId) -> Option<String> {
        let kept = self.kept_value("jobs", id.as_str());
        let same = kept.as_ref().and_then(|job| job.get("id")).and_then(Value::as_str) == Some(id.as_str());
        (!same).then(|| format!("job {id} is promised, and a power cut could still lose it"))
    }

    /// What is wrong with asking for a restart now.
    pub(super) fn unkept_wish(&self) -> Option<String> {
        let machine = Machine::new(self.at_worst(), Vec::new());
        let jobs = StateDir::of(machine.root().folder("jobs").ok()?);
        let kept = |name: &String| jobs.read::<Value>(name).ok().flatten();
        let wished =
            jobs.names().ok()?.iter().filter_map(kept).any(|job| job.pointer("/state/restarting").is_some());
        (!wished)
            .then(|| "jobs: a restart is asked for, and after a power cut none would know of it".to_owned())
    }

    /// Which order a job carries out, as its file says now.
    pub(super) fn order_of(&self, job: &JobId) -> Option<u64> {
        let machine = Machine::new(self.clone(), Vec::new());
        let jobs = StateDir::of(machine.root().folder("jobs").ok()?);
        jobs.read::<Value>(job.as_str()).ok()??.pointer("/input/order")?.as_u64()
    }

    /// How a job has ended, as the disk knows it: `done`, `failed` or `cancelled`.
    fn outcome(&self, id: &JobId) -> Option<String> {
        let job = self.kept_value("jobs", id.as_str())?;
        match job.pointer("/state/ended/outcome")? {
            Value::String(outcome) => Some(outcome.clone()),
            Value::Object(outcome) => outcome.keys().next().cloned(),
            _ => None,
        }
    }

    /// A state file as it would be read after a power cut.
    fn kept_value(&self, folder: &str, name: &str) -> Option<Value> {
        let machine = Machine::new(self.at_worst(), Vec::new());
        StateDir::of(machine.root().folder(folder).ok()?).read(name).ok()?
    }
}

/// What is wrong at the end of a life that came to rest.
pub fn at_the_end(state: &State, seed: &Seed) -> Vec<String> {
    let mut wrong = Vec::new();
    let rotten = seed.steps.iter().any(|step| matches!(step, Step::Fault { fault: Fault::Rot, .. }));
    // What boots from now on, as one boot more tells: what an update came to is what boots from now on.
    let machine = Machine::new(state.at_worst(), Vec::new());
    let last = machine.root().folder("flash").map_err(|error| error.to_string());
    let last = last.and_then(|folder| boot::boot(folder).map_err(|error| error.to_string()));
    let (slot, trial) = match last {
        Ok(booted) => (booted.slot.unwrap_or_else(|| super::SLOTS[0].to_owned()), booted.trial),
        Err(error) => return vec![format!("at the end the device does not boot: {error}")],
    };
    if let Err(why) = booted(state, &slot, trial) {
        return vec![format!("at the end {why}")];
    }
    if trial {
        wrong.push(format!("at the end a trial of slot {slot} is still armed"));
    }
    if rotten {
        // A record that rots is lost, and nobody can tell of it.
        return wrong;
    }
    if state.running != slot {
        wrong.push(format!("at the end the device runs from slot {}, and would boot {slot}", state.running));
    }
    let boots = state.image_in(&slot).map(|image| image.version.clone()).unwrap_or_default();
    jobs(state, &mut wrong);
    twin(state, &slot, &boots, seed, &mut wrong);
    wrong
}

fn jobs(state: &State, wrong: &mut Vec<String>) {
    for (number, order) in state.hub.orders.iter().enumerate() {
        match &order.answer {
            Answer::None => wrong.push(format!("order {number} was never answered")),
            Answer::Held => {}
            Answer::Accepted(id) => {
                let Some(outcome) = state.outcome(id) else {
                    wrong.push(format!("job {id} was promised and has not ended, as far as the disk knows"));
                    continue;
                };
                if state.hub.cancelled == Some(Cancelled::Taken(id.clone())) && outcome != "cancelled" {
                    wrong.push(format!(
                        "job {id} was cancelled, as the operator was told, and ended with {outcome}"
                    ));
                }
            }
        }
    }
}

fn twin(state: &State, slot: &str, boots: &str, seed: &Seed, wrong: &mut Vec<String>) {
    let twin = state.hub.twin();
    let told = |name: &str| twin.pointer(&format!("/firmware/{name}")).cloned().unwrap_or(Value::Null);
    let Some(last) = state.hub.orders.len().checked_sub(1) else { return };
    let Some(image) = state.world.orders.get(last).and_then(|image| state.world.images.get(*image)) else {
        return;
    };
    let (status, order, version) = (told("status"), told("order"), told("version"));
    if order != last as u64 || version != image.version.as_str() {
        wrong.push(format!(
            "the twin tells of order {order}, version {version}; the last one was {last}, {}",
            image.version
        ));
    }
    let runs = boots == image.version;
    let is_well = status == "completed";
    let is_over = ["failed", "rolledBack", "cancelled"].iter().any(|word| status == *word);
    let cancelled = state.hub.orders.get(last).is_some_and(|order| match &order.answer {
        Answer::Accepted(id) => state.outcome(id).is_some_and(|outcome| outcome == "cancelled"),
        _ => false,
    });
    if cancelled && status != "cancelled" {
        wrong.push(format!("the twin ends with {status} for {}, whose job was cancelled", image.version));
    }
    // An order whose answer was lost is given again, and may find its image running from the other slot.
    let here = told("slot") == slot;
    if (is_well && !(runs && here)) || (is_over && here) || !(is_well || is_over) {
        wrong.push(format!(
            "the twin ends with {status} for {} in slot {}, and the device boots {boots} from slot {slot}",
            image.version,
            told("slot"),
        ));
    }
    if let Some(jobs) = twin.pointer("/hotshoe/jobs").and_then(Value::as_object)
        && jobs.values().any(|job| !job.is_null())
    {
        wrong.push(format!("the twin still shows jobs that are over: {}", Value::Object(jobs.clone())));
    }
    let fit = image.character == Character::Good && !image.corrupt && image.ends.is_none();
    if !fit && is_well {
        wrong.push(format!("{} is no good and was settled on", image.version));
    }
    // Each cut may cost a trial of a good image, and there are three.
    if fit && !runs && !cancelled && seed.steps.len() < 2 && !state.world.flaky {
        wrong.push(format!(
            "{} is good and was given up after {} cuts and {} faults",
            image.version,
            seed.cuts(),
            seed.faults()
        ));
    }
}
