//! What a device has been through before its story begins. Nothing goes wrong there.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use hotshoe_core::policy::Unsigned;
use hotshoed::{disk::Folder as _, flash::boot::boot};

use super::{SLOTS, State};
use crate::{
    disk::{Loss, Tree},
    machine::Machine,
};

/// The disks of worlds that had a story before: lived once, so that what is planted later was not there.
static DISKS: Mutex<BTreeMap<&str, Tree>> = Mutex::new(BTreeMap::new());

/// The second image was installed into the second slot and had its trial, which nobody confirmed: what it left is there,
/// and nobody remembers the job.
pub(super) fn lapsed(mut state: State) -> State {
    let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
    let name = state.world.name;
    let disk = disks.entry(name).or_insert_with(|| after_a_trial(state.clone()));
    state.disk = disk.clone();
    state
}

fn after_a_trial(state: State) -> Tree {
    let machine = Machine::new(state, Vec::new());
    install(&machine).expect("nothing fails before the story begins");
    let lived = machine.ended();
    assert!(lived.violations.is_empty(), "{:?}", lived.violations);
    let State { mut disk, mut random, .. } = lived.state;
    disk.cut(Loss::Nothing, &mut random);
    disk
}

fn install(machine: &Machine) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let world = machine.with(|state| state.world.clone());
    let folder = machine.root().folder("flash").map_err(|error| text(&error))?;
    let flash = world.flash(folder.clone()).map_err(|error| text(&error))?;
    let image = world.images.get(1).ok_or("there is no second image")?;
    for (name, piece) in world.names(SLOTS[1]).iter().zip(&image.pieces) {
        let staging = flash.stage(name, &piece.digest, "before", Unsigned::Digest);
        let mut staging = staging.map_err(|error| text(&error))?;
        staging.append(&piece.bytes).map_err(|error| text(&error))?;
        staging.seal(&image.version).map_err(|error| text(&error))?;
    }
    flash.activate(SLOTS[1], "before").map_err(|error| text(&error))?;
    boot(folder).map_err(|error| text(&error))?;
    Ok(())
}
