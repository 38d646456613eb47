//! The `systemd-boot` boot control: counters in the names of boot entries.
//!
//! Each slot has an entry `hotshoe-GENERATION-SLOT.conf` in `loader/entries`; what its name says stands in
//! [`hotshoe_core::slot::loader`]. Arming renames an entry to the newest one with a single try, confirming takes the
//! counter away, and falling back is systemd-boot's own order: what has no tries left comes last. The entries' content
//! is never written.
//!
//! A rename is all that changes; on the FAT of an EFI partition it is a change in one or two sectors of a directory
//! without a journal, so it is as whole as the disk writes those. An entry that a cut has lost is an error here, never
//! a guess.

use std::{io, sync::Arc};

use hotshoe_core::slot::{
    BootRecord,
    loader::{EntryName, from_entries, renames},
};

use super::{BootControl, Memory};
use crate::{disk::Folder, flash::FlashError};

/// The entries of systemd-boot.
#[derive(Debug)]
pub struct SystemdBoot {
    entries: Arc<dyn Folder>,
}

impl SystemdBoot {
    /// The entries in this folder, `loader/entries` of the boot partition.
    pub fn new(entries: Arc<dyn Folder>) -> Self {
        Self { entries }
    }

    fn load(&self) -> Result<Vec<EntryName>, FlashError> {
        let names = self.entries.names().map_err(FlashError::io("list the boot entries"))?;
        Ok(names.iter().filter_map(|name| EntryName::parse(name)).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.entries.rename(from, to)?;
        self.entries.sync()
    }
}

impl BootControl for SystemdBoot {
    fn name(&self) -> &'static str {
        "systemd-boot"
    }

    fn settle(&self) -> Result<(), FlashError> {
        self.entries.sync().map_err(FlashError::io("flush the boot entries"))
    }

    fn read(&self) -> Result<Memory, FlashError> {
        let record = from_entries(&self.load()?);
        let none = || {
            Memory::Corrupt("no boot entry `hotshoe-GENERATION-SLOT.conf` is without a counter".to_owned())
        };
        Ok(record.map_or_else(none, Memory::Record))
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let entries = self.load()?;
        let named = |slot: &str| entries.iter().any(|entry| entry.slot == slot);
        let missing = [Some(&record.good), record.trial.as_ref().map(|trial| &trial.slot)];
        let missing = missing.into_iter().flatten().find(|slot| !named(slot));
        let steps =
            renames(&entries, record).filter(|_| missing.is_none()).ok_or_else(|| FlashError::Io {
                action: "rename the boot entries".to_owned(),
                text: format!(
                    "slot {:?} has no entry `hotshoe-GENERATION-SLOT.conf`",
                    missing.unwrap_or(&record.good)
                ),
            })?;
        for (from, to) in steps {
            let action = format!("rename the boot entry {from} to {to}");
            self.rename(&from, &to).map_err(FlashError::io(action))?;
        }
        // Also where there was nothing to rename: the names may be those of an attempt that could not flush them.
        self.settle()
    }
}
