//! What is durably known of each slot, by the slot's name.
//!
//! A part of a group has a slash in its name, a file has none in its: `a/kernel` stands as `a.part.kernel`.

use serde::{Serialize, de::DeserializeOwned};

use crate::state::{StateDir, StateError};

/// Durable values by the names of slots.
#[derive(Clone, Debug)]
pub(super) struct Records(StateDir);

impl Records {
    pub(super) fn new(state: StateDir) -> Self {
        Self(state)
    }

    pub(super) fn read<T: DeserializeOwned>(&self, slot: &str) -> Result<Option<T>, StateError> {
        self.0.read(&file_name(slot))
    }

    pub(super) fn write<T: Serialize>(&self, slot: &str, value: &T) -> Result<(), StateError> {
        self.0.write(&file_name(slot), value)
    }

    pub(super) fn remove(&self, slot: &str) -> Result<(), StateError> {
        self.0.remove(&file_name(slot))
    }
}

/// The name of the file for a slot.
pub(super) fn file_name(slot: &str) -> String {
    slot.replace('/', ".part.")
}
