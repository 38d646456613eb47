//! What slots there are: groups, their parts, and where each stands.

use std::{collections::HashSet, sync::Arc};

use hotshoe_core::slot::NAME_LIMIT;

use super::{
    FlashError,
    control::{BootControl, File},
    place::Place,
    records::file_name,
};
use crate::disk::Folder;

/// One plain slot that is a file in the flash directory: the short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotConfig {
    /// Its name: 1 to 64 letters, digits, dots, dashes and underscores.
    pub name: String,
    /// The file in the flash directory that it is.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
}

/// All that slots are.
#[derive(Debug)]
pub struct FlashSettings {
    /// The groups, in order. Where nothing was ever installed the first one is running.
    pub groups: Vec<GroupConfig>,
    /// Where the boot loader remembers what to boot.
    pub boot: Box<dyn BootControl>,
    /// The group that the kernel's command line says is running; `None` where it says none.
    pub running: Option<String>,
}

/// Slots that are updated together.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Its name: 1 to 64 letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Its slots, in the order in which they are written. The slot of a plain group has the group's name, those of
    /// others are called `GROUP/PART`.
    pub parts: Vec<PartConfig>,
}

/// One slot.
#[derive(Clone, Debug)]
pub struct PartConfig {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it stands.
    pub place: Place,
}

impl FlashSettings {
    /// Plain slots in files of a folder, with the boot record beside them.
    pub fn files(folder: &Arc<dyn Folder>, slots: Vec<SlotConfig>) -> Self {
        let group = |slot: SlotConfig| {
            let place = Place::File { folder: Arc::clone(folder), name: slot.file };
            let part = PartConfig { name: slot.name.clone(), size: slot.size, place };
            GroupConfig { name: slot.name, parts: vec![part] }
        };
        Self {
            groups: slots.into_iter().map(group).collect(),
            boot: Box::new(File::new(Arc::clone(folder))),
            running: None,
        }
    }
}

/// Whether the groups make sense: names that are names, no two the same, no slot without room.
pub(super) fn validate(groups: &[GroupConfig]) -> Result<(), FlashError> {
    let refuse = |text: String| Err(FlashError::Configuration(text));
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    for group in groups {
        if !is_name(&group.name) {
            return refuse(format!(
                "slot name {:?} is not valid: it takes 1 to 64 letters, digits, dots, dashes and underscores",
                group.name
            ));
        }
        if !names.insert(group.name.clone()) {
            return refuse(format!("there is another slot or group {:?}", group.name));
        }
        let plain = matches!(group.parts.as_slice(), [part] if part.name == group.name);
        if group.parts.is_empty() {
            return refuse(format!("group {:?} has no parts", group.name));
        }
        for PartConfig { name, size, place } in &group.parts {
            let part = name.strip_prefix(group.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
            if !plain && !part.is_some_and(is_name) {
                return refuse(format!("part {name:?} of group {:?} is not called GROUP/PART", group.name));
            }
            if *size == 0 {
                return refuse(format!("slot {name:?} has size 0"));
            }
            if !plain && !names.insert(file_name(name)) {
                return refuse(format!("there is another slot {name:?}"));
            }
            if !places.insert(place.words()) {
                return refuse(format!("slot {name:?} has the file or device of another one"));
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= NAME_LIMIT && !name.starts_with('.') && name.bytes().all(fits)
}
