//! What the smallest boot loader does with the boot record, for the demo, the tests and `hotshoe-bootsim`.
//!
//! It chooses the slot and spends a trial's only try, durably, *before* it would hand over to the image: so an image
//! that never comes up has had its chance, and the next boot falls back.

use std::sync::Arc;

use hotshoe_core::slot::Event;

use super::{
    FlashError,
    control::{Boot, BootControl, File, Memory},
};
use crate::disk::Folder;

/// What was booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    /// The slot; `None` if no record says any, so that the device boots its first one.
    pub slot: Option<String>,
    /// Whether its image is on trial.
    pub trial: bool,
}

/// Boots from the slots in a directory: what [`Flash::running`](super::Flash::running) says afterwards.
///
/// An error means that the record could not be written: a boot loader must not go on with a trial then.
pub fn boot(folder: Arc<dyn Folder>) -> Result<Booted, FlashError> {
    let control = File::new(folder);
    if !matches!(control.read()?, Memory::Record(_)) {
        return Ok(Booted { slot: None, trial: false });
    }
    let booted = Boot::new(Box::new(control), None, "").apply(Event::Boot)?;
    Ok(Booted { trial: booted.on_trial(), slot: Some(booted.running) })
}
