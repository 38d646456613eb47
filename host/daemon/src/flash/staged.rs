//! What stands in slots, for whoever decides about it.

use super::{Flash, FlashError, SignedImage};

/// An image in a slot or in a part of a group.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Staged {
    /// The version it was sealed with.
    pub version: Option<String>,
    /// The digest it was staged for, as text.
    pub digest: Option<String>,
    /// Its bytes.
    pub length: Option<u64>,
}

/// A whole image in a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The slot.
    pub slot: String,
    /// The signed target that vouched for it; none where nobody signed it.
    pub signed: Option<SignedImage>,
}

impl Flash {
    /// The signed images that run and are confirmed.
    ///
    /// # Errors
    /// The disk, or the boot loader's record.
    pub fn confirmed(&self) -> Result<Vec<SignedImage>, FlashError> {
        let mut images = Vec::new();
        for slot in self.slots()?.iter().filter(|slot| slot.running && slot.good) {
            let record = self.0.content(&slot.name)?.filter(|record| record.sealed.is_some());
            images.extend(record.and_then(|record| record.signed));
        }
        Ok(images)
    }

    /// What is sealed in a slot, or in the parts of a group.
    ///
    /// # Errors
    /// There is no such slot or group, or the disk.
    pub fn sealed(&self, name: &str) -> Result<Vec<Sealed>, FlashError> {
        let mut all = Vec::new();
        for slot in &self.0.group(name)?.parts {
            let record = self.0.content(slot)?.filter(|record| record.sealed.is_some());
            all.extend(record.map(|record| Sealed { slot: slot.clone(), signed: record.signed }));
        }
        Ok(all)
    }

    /// What stands in a slot; of a group its first part, with the bytes of all.
    ///
    /// # Errors
    /// The disk.
    pub fn staged(&self, name: &str) -> Result<Staged, FlashError> {
        let mut staged: Option<Staged> = None;
        for slot in self.slots()?.iter().filter(|slot| slot.belongs_to(name)) {
            let length = self.0.content(&slot.name)?.map(|record| record.length.unwrap_or(record.written));
            match &mut staged {
                None => {
                    let digest = slot.digest.as_ref().map(ToString::to_string);
                    staged = Some(Staged { version: slot.version.clone(), digest, length });
                }
                Some(staged) => {
                    staged.length = staged.length.zip(length).map(|(one, other)| one.saturating_add(other));
                }
            }
        }
        Ok(staged.unwrap_or_default())
    }
}

impl super::SlotInfo {
    /// Whether it is the slot of this name, or a part of the group of this name.
    pub fn belongs_to(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
