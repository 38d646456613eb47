//! The `grub` boot control: variables in GRUB's environment block.
//!
//! The variables are those of [`hotshoe_core::slot::loader`]; `examples/device/grub/grub.cfg` reads and lowers them.
//! The block has neither a checksum nor a second copy; why a cut still leaves one of the two states stands in
//! [`EnvironmentBlock`](hotshoe_core::slot::EnvironmentBlock): what changes is one sector.
//!
//! Why it is written in place and not beside it and renamed: GRUB reads the file system without replaying its journal,
//! so it might still see the old file, and write its count of tries into blocks that are free already.

use std::{io, sync::Arc};

use hotshoe_core::slot::{BLOCK, BootRecord, EnvironmentBlock, SECTOR, loader};

use super::{BootControl, Memory};
use crate::{
    disk::{Folder, Open, Volume, read_all, settle},
    flash::FlashError,
};

/// GRUB's environment block on the disk.
#[derive(Debug)]
pub struct Grub {
    folder: Arc<dyn Folder>,
    name: String,
}

impl Grub {
    /// The block in this file, which must be there: GRUB cannot make it.
    pub fn new(folder: Arc<dyn Folder>, name: &str) -> Self {
        Self { folder, name: name.to_owned() }
    }

    /// The bytes of the file; none where it is missing.
    fn load(&self) -> Result<Vec<u8>, FlashError> {
        let read = self.folder.open(&self.name, Open::Reading);
        match read.and_then(|file| read_all(file.as_ref(), BLOCK as u64)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(FlashError::io(format!("read GRUB's environment block {}", self.name))),
        }
    }

    /// Writes the sectors that differ, the last one first, each durable before the next.
    fn save(&self, old: &[u8], new: &[u8]) -> io::Result<()> {
        let volume = self.folder.open(&self.name, Open::Existing)?;
        for at in (0..BLOCK).step_by(SECTOR).rev() {
            let sector = |bytes: &[u8]| bytes.get(at..at.saturating_add(SECTOR)).map(<[u8]>::to_vec);
            match (sector(old), sector(new)) {
                (old, Some(new)) if old.as_ref() != Some(&new) => write(volume.as_ref(), &new, at)?,
                _ => {}
            }
        }
        volume.sync()
    }
}

fn write(volume: &dyn Volume, sector: &[u8], at: usize) -> io::Result<()> {
    volume.write_at(sector, at as u64)?;
    volume.sync()
}

impl BootControl for Grub {
    fn name(&self) -> &'static str {
        "grub"
    }

    fn settle(&self) -> Result<(), FlashError> {
        settle(self.folder.as_ref(), &[&self.name]).map_err(FlashError::io("flush GRUB's environment block"))
    }

    fn read(&self) -> Result<Memory, FlashError> {
        let Some(block) = EnvironmentBlock::decode(&self.load()?) else {
            return Ok(Memory::Corrupt(format!("{} is not an environment block of GRUB", self.name)));
        };
        Ok(loader::from_variables(|name| block.value(name)).map_or(Memory::Empty, Memory::Record))
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let failed = |text: &str| FlashError::Io {
            action: format!("save GRUB's environment block {}", self.name),
            text: text.to_owned(),
        };
        let bytes = self.load()?;
        let mut block = EnvironmentBlock::decode(&bytes)
            .ok_or_else(|| failed("it is none; make it anew with `grub-editenv FILE create`"))?;
        let full = || failed("there is no room left in it; remove variables that nobody needs");
        // First our variables to their place, with the values they have: from then on a change is one sector.
        let moved = block.encode().ok_or_else(full)?;
        for (name, value) in loader::variables(record) {
            block.set(name, value.as_deref());
        }
        let new = block.encode().ok_or_else(full)?;
        let save = |old: &[u8], new: &[u8]| {
            self.save(old, new)
                .map_err(FlashError::io(format!("write GRUB's environment block {}", self.name)))
        };
        if moved != bytes {
            save(&bytes, &moved)?;
        }
        save(&moved, &new)
    }
}
