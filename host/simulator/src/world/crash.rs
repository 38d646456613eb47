//! A host that dies again and again: under an image, or under its plugin; and the operator of a device in safe mode.
//!
//! The count of starts, what follows on it and the way back from a trial are the host's own code. What stands around it
//! is written again from `daemon::start`, in the same order.

use std::time::Duration;

use hotshoed::{
    config::SafeModeSettings,
    daemon::{SafeMode, give_up_trial},
    disk::Folder as _,
    flash::Flash,
    hub::Outbox,
    job::{Doing, Restart},
    state::StateDir,
};
use serde_json::{Value, json};

use super::{Character, State, World};
use crate::machine::Machine;

/// How many starts the host may take in these worlds.
const STARTS: u32 = 3;
/// Nobody asks a clock here.
const FOR_EVER: Duration = Duration::from_secs(3600);

impl World {
    /// Whether the host dies in it, so that its starts are counted.
    fn has_deaths(&self) -> bool {
        self.deaths > 0 || self.images.iter().any(|image| image.character == Character::KillsItsHost)
    }
}

impl State {
    /// The plugin runs: whether the host dies of it.
    pub fn dies_of_the_plugin(&mut self) -> bool {
        self.dead = self.died < self.world.deaths;
        self.died += u32::from(self.dead);
        self.dead
    }

    fn dies_of_its_image(&self) -> bool {
        self.image_in(&self.running).is_some_and(|image| image.character == Character::KillsItsHost)
    }

    fn shows_safe_mode(&self) -> bool {
        self.hub.twin().pointer("/hotshoe/safeMode/reason").is_some_and(Value::is_string)
    }
}

/// Counts a start, in worlds in which that matters.
pub(super) fn begin(machine: &Machine, state: &StateDir, boot_id: &str) -> Result<Option<SafeMode>, String> {
    if !machine.with(|state| state.world.has_deaths()) {
        return Ok(None);
    }
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let inside = machine.root().folder("inside").map_err(|error| text(&error))?;
    let life = state.subdirectory("life").map_err(|error| text(&error))?;
    let settings = SafeModeSettings { starts: STARTS, stable_after: FOR_EVER, retry_after: FOR_EVER };
    Ok(Some(SafeMode::begin(settings, life, inside, boot_id)))
}

/// Whether the host is in safe mode.
pub(super) fn is_safe(life: Option<&SafeMode>) -> bool {
    life.is_some_and(|life| life.reason().is_some())
}

/// What comes before the jobs are taken up; an error where the host dies of it.
pub(super) async fn before(
    machine: &Machine,
    life: &SafeMode,
    flash: &Flash,
    outbox: &Outbox,
) -> Result<(), String> {
    let reason = life.reason().map(|reason| json!({ "reason": reason }));
    if reason.is_none() && machine.with(|state| state.dies_of_its_image()) {
        return Err("it dies under this image".to_owned());
    }
    let told = outbox.patch(json!({ "hotshoe": { "safeMode": reason } })).await;
    told.map_err(|error| error.to_string())?;
    if reason.is_some() && flash.is_unproven() {
        give_up_trial(flash, &Watchdog(machine.clone())).await;
    }
    Ok(())
}

/// A host in safe mode is at rest, and all that it had to say was heard: the operator looks, and has it leave.
pub(super) fn leave(machine: &Machine, life: &SafeMode) {
    if !machine.with(|state| state.shows_safe_mode()) {
        machine.violate("the host is in safe mode, and its hub does not know");
    }
    machine.note(|| "the operator ends safe mode".to_owned());
    life.leave();
}

/// A restart that no job has wished for.
struct Watchdog(Machine);

impl Restart for Watchdog {
    fn ask(&self) -> Doing<Result<(), String>> {
        let machine = self.0.clone();
        Box::pin(async move {
            machine.tell(
                || "init is asked for a restart, for an image that kills its host".to_owned(),
                |state| {
                    state.restart = true;
                    Vec::new()
                },
            );
            Ok(())
        })
    }
}
