//! From the configuration of slots, and the authorities that `main` opened for it, to the slots themselves.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;

use super::error::DaemonError;
use crate::config::{BootEntry, FlashConfig, PlaceEntry, SlotEntry};
use crate::disk::{Device, Folder};
use crate::flash::control::{BootControl, Copy, File, Grub, SystemdBoot, UBoot};
use crate::flash::{Flash, FlashError, FlashSettings, GroupConfig, PartConfig, Place};

/// The places of the slots and of the boot loader's memory.
pub struct FlashDirs {
    /// For slots that are files, the boot record, and what is known of the slots.
    pub directory: Dir,
    /// The directory of each of [`FlashConfig::files`], with its name there, by the path in the configuration.
    pub files: BTreeMap<PathBuf, (Dir, String)>,
    /// The entries of systemd-boot, where it boots the device.
    pub entries: Option<Dir>,
}

/// Opens the slots; none on a device without.
pub(super) fn open(config: Option<FlashConfig>, dirs: FlashDirs) -> Result<Flash, DaemonError> {
    let opening = Opening { directory: Arc::new(dirs.directory), files: dirs.files, entries: dirs.entries };
    Ok(opening.flash(config)?)
}

struct Opening {
    directory: Arc<Dir>,
    files: BTreeMap<PathBuf, (Dir, String)>,
    entries: Option<Dir>,
}

impl Opening {
    fn flash(self, config: Option<FlashConfig>) -> Result<Flash, FlashError> {
        let folder = self.folder()?;
        let Some(config) = config else { return Flash::open(folder, Vec::new()) };
        let groups = config.slots.iter().map(|group| {
            let parts = group.parts.iter().map(|part| self.part(part)).collect::<Result<_, _>>()?;
            Ok(GroupConfig { name: group.name.clone(), parts })
        });
        let groups = groups.collect::<Result<_, FlashError>>()?;
        let boot = self.boot(&config.boot)?;
        Flash::with(folder, FlashSettings { groups, boot, running: config.running })
    }

    fn part(&self, slot: &SlotEntry) -> Result<PartConfig, FlashError> {
        let place = match &slot.place {
            PlaceEntry::File(name) => Place::File { folder: self.folder()?, name: name.clone() },
            PlaceEntry::Directory(name) => {
                let directory = Arc::clone(&self.directory);
                Place::Tree { folder: self.folder()?, directory, name: name.clone() }
            }
            PlaceEntry::Device(path) => {
                let (directory, name) = self.file(path)?;
                Place::Device { folder: Arc::new(Device::new(directory)), name }
            }
        };
        Ok(PartConfig { name: slot.name.clone(), size: slot.size, place })
    }

    fn boot(&self, boot: &BootEntry) -> Result<Box<dyn BootControl>, FlashError> {
        Ok(match boot {
            BootEntry::File => Box::new(File::new(self.folder()?)),
            BootEntry::UBoot { size, copies } => {
                let copy = |(path, offset): &(PathBuf, u64)| {
                    let (directory, name) = self.file(path)?;
                    Ok(Copy { folder: Arc::new(directory), name, offset: *offset })
                };
                let copies = copies.iter().map(copy).collect::<Result<_, FlashError>>()?;
                Box::new(UBoot::new(copies, *size)?)
            }
            BootEntry::Grub(path) => {
                let (directory, name) = self.file(path)?;
                Box::new(Grub::new(Arc::new(directory), &name))
            }
            BootEntry::SystemdBoot(path) => {
                let entries = self.entries.as_ref().ok_or_else(|| not_opened(path))?;
                let entries = entries.try_clone().map_err(once_more(path))?;
                Box::new(SystemdBoot::new(Arc::new(entries)))
            }
        })
    }

    fn folder(&self) -> Result<Arc<dyn Folder>, FlashError> {
        Ok(Arc::new(self.directory.try_clone().map_err(once_more(Path::new("the flash directory")))?))
    }

    fn file(&self, path: &Path) -> Result<(Dir, String), FlashError> {
        let (directory, name) = self.files.get(path).ok_or_else(|| not_opened(path))?;
        Ok((directory.try_clone().map_err(once_more(path))?, name.clone()))
    }
}

fn not_opened(path: &Path) -> FlashError {
    FlashError::Configuration(format!("{} was not opened", path.display()))
}

/// The process has a handle and gets no second one.
fn once_more(path: &Path) -> impl FnOnce(io::Error) -> FlashError {
    FlashError::io(format!("open {} once more", path.display()))
}
