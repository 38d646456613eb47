//! Slots: where images stand, what is in them, and which one boots.
//!
//! Promise: the slot the device runs from is never written, nor the one it falls back to; a slot counts as sealed
//! only after its bytes were read back from the disk and had the digest that vouches for them; an image boots for
//! good only after it said so itself. One job at a time holds a slot, whoever's plugin it belongs to. Every call
//! may be cut anywhere and made again.
//!
//! Why the record of a slot is written *before* its first byte: until then the old image is whole and sealed, from
//! then on it is nothing; there is no moment at which a half-written slot counts as bootable.
//!
//! What boots is decided in [`hotshoe_core::slot`]; this module does it for the `file` boot control. It does not
//! fetch, and it does not choose: plugins do. All calls block on the disk.

pub mod boot;

mod control;
mod error;
mod record;
mod staging;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hotshoe_core::{
    digest::Digest,
    policy::Unsigned,
    slot::{BootRecord, Event, NAME_LIMIT},
};
use serde::{Deserialize, Serialize};

use crate::{
    disk::{Folder, Open},
    state::StateDir,
};
use control::BootControl;
use record::SlotRecord;

pub use error::FlashError;
pub use record::Encoded;
pub use staging::Staging;

/// One slot in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotConfig {
    /// Its name: 1 to 64 letters, digits, dots, dashes and underscores.
    pub name: String,
    /// The file in the flash directory that it is.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing that is known.
    Empty,
    /// A part of an image.
    Partial,
    /// A whole image that was read back and compared.
    Sealed,
}

/// One slot as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the device runs from it.
    pub running: bool,
    /// Whether it boots without a trial.
    pub good: bool,
    /// Whether one trial boot of it is armed or under way.
    pub trial: bool,
    /// What is in it.
    pub content: Content,
    /// The version it was sealed with.
    pub version: Option<String>,
    /// The digest it was staged for.
    pub digest: Option<Digest>,
}

/// Who vouches for an image that is to be staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// A signed target of a repository.
    Signed(SignedImage),
    /// None does: this is the policy for such images.
    Policy(Unsigned),
}

impl From<Unsigned> for Assurance {
    fn from(policy: Unsigned) -> Self {
        Assurance::Policy(policy)
    }
}

/// What is signed of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedImage {
    /// The target's name.
    pub target: String,
    /// What the image is called, where that is signed: versions and sequences are compared within a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version, where that is signed.
    pub version: Option<String>,
    /// Its place among the images of its name, where that is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// The device's slots. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Flash(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Arc<dyn Folder>,
    records: StateDir,
    slots: Vec<Slot>,
    boot: Mutex<BootControl>,
}

#[derive(Debug)]
struct Slot {
    config: SlotConfig,
    lease: Mutex<Lease>,
}

/// Who may write to a slot. Held while a piece is written, so that it cannot change under one.
#[derive(Debug, Default)]
struct Lease {
    holder: Option<String>,
    /// Grows when a staging is opened or the holder lets go; older stagings write no more.
    generation: u64,
}

impl Flash {
    /// Opens the slots in a directory, in this order. Where nothing was ever installed the first one is running.
    ///
    /// Makes the files that are missing, with room for all of their size. A boot record that names a slot that is
    /// not configured is an error: writing to the others might hit the running one.
    pub fn open(folder: Arc<dyn Folder>, slots: Vec<SlotConfig>) -> Result<Flash, FlashError> {
        validate(&slots)?;
        for slot in &slots {
            make(folder.as_ref(), slot)
                .map_err(FlashError::io(format!("make room for slot {:?}", slot.name)))?;
        }
        let records = StateDir::of(Arc::clone(&folder)).subdirectory("slots")?;
        let boot = BootControl::new(Arc::clone(&folder));
        let slots = slots.into_iter().map(|config| Slot { config, lease: Mutex::default() }).collect();
        let flash = Flash(Arc::new(Inner { folder, records, slots, boot: Mutex::new(boot) }));
        let record = flash.0.record()?;
        for name in [&record.running, &record.good] {
            if !name.is_empty() && !flash.0.slots.iter().any(|slot| slot.config.name == *name) {
                return Err(FlashError::Configuration(format!(
                    "the boot record names slot {name:?}, the configuration has only {}",
                    flash.0.names()
                )));
            }
        }
        Ok(flash)
    }

    /// The slots, in the order of the configuration.
    pub fn slots(&self) -> Result<Vec<SlotInfo>, FlashError> {
        let boot = self.0.record()?;
        self.0.slots.iter().map(|slot| self.0.info(slot, &boot)).collect()
    }

    /// The slot the device runs from; empty if there are no slots.
    pub fn running(&self) -> Result<String, FlashError> {
        Ok(self.0.record()?.running)
    }

    /// Whether the device runs from this slot: after a restart, whether its trial took.
    pub fn boot_expected(&self, wanted: &str) -> bool {
        self.running().is_ok_and(|running| running == wanted)
    }

    /// The slot for which a trial boot is armed, unless another job holds it.
    pub fn armed(&self, holder: &str) -> Result<Option<String>, FlashError> {
        let boot = self.0.record()?;
        let Some(trial) = boot.trial.filter(|trial| trial.slot != boot.running) else { return Ok(None) };
        let own = self.0.slot(&trial.slot)?.lease().check(&trial.slot, holder).is_ok();
        Ok(own.then_some(trial.slot))
    }

    /// Opens a slot for the image with this digest and takes its lease for this job.
    ///
    /// The same slot and digest go on where the durable bytes end; another digest starts from nothing, and what was
    /// in the slot is gone.
    ///
    /// `assurance` says who vouches for the digest. A signed target that did so when the slot was opened for it first
    /// goes on to: an update that was cut off may end although its repository cannot be asked any more.
    pub fn stage(
        &self,
        slot: &str,
        digest: &Digest,
        holder: &str,
        assurance: impl Into<Assurance>,
    ) -> Result<Staging, FlashError> {
        let found = self.0.slot(slot)?;
        let mut lease = found.lease();
        let known = self.0.content(slot)?.filter(|record| record.digest == *digest);
        let kept = known.as_ref().and_then(|record| record.signed.clone());
        let assurance = match (assurance.into(), kept) {
            (Assurance::Policy(_), Some(signed)) => Assurance::Signed(signed),
            (assurance, _) => assurance,
        };
        if assurance == Assurance::Policy(Unsigned::Deny) {
            return Err(FlashError::Untrusted(format!(
                "no signed target covers the image {digest}, and firmware.unsigned is \"deny\" in the device's \
                 policy: publish the image in a signed repository, or let the operator set it to \"digest\""
            )));
        }
        lease.check(slot, holder)?;
        let boot = self.0.record()?;
        let sealed = known.as_ref().is_some_and(|record| record.sealed.is_some());
        // What is sealed already will not be written to, armed or not.
        if !sealed || boot.running == slot {
            boot.writable(slot)?;
        }
        let signed = match &assurance {
            Assurance::Signed(signed) => Some(signed.clone()),
            Assurance::Policy(_) => None,
        };
        let record = match known {
            Some(record) if record.signed == signed => record,
            known => {
                let known = known.unwrap_or_else(|| SlotRecord::opened(digest.clone(), None));
                let record = SlotRecord { signed, ..known };
                self.0.records.write(slot, &record)?;
                record
            }
        };
        lease.holder = Some(holder.to_owned());
        lease.generation = lease.generation.saturating_add(1);
        let generation = lease.generation;
        drop(lease);
        Staging::new(self.0.clone(), found.config.clone(), record, generation, assurance)
    }

    /// Arms one trial boot of a sealed slot. Durable when it returns; arming it again is well.
    pub fn activate(&self, slot: &str, holder: &str) -> Result<(), FlashError> {
        let found = self.0.slot(slot)?;
        let lease = found.lease();
        lease.check(slot, holder)?;
        if self.0.content(slot)?.is_none_or(|record| record.sealed.is_none()) {
            return Err(FlashError::NotSealed(format!(
                "slot {slot:?} holds no sealed image; stage and seal one first"
            )));
        }
        self.0.apply(Event::Activate(slot))
    }

    /// Marks the running slot good. Durable when it returns; confirming again is well.
    pub fn confirm(&self) -> Result<(), FlashError> {
        self.0.apply(Event::Confirm)
    }

    /// Gives up an armed or running trial. Durable when it returns; the good slot boots next.
    pub fn revert(&self) -> Result<(), FlashError> {
        self.0.apply(Event::Revert)
    }

    /// Lets go of all slots of a job that has ended. What it still writes is refused from now on.
    pub fn release(&self, holder: &str) {
        for slot in &self.0.slots {
            let mut lease = slot.lease();
            if lease.holder.as_deref() == Some(holder) {
                lease.holder = None;
                lease.generation = lease.generation.saturating_add(1);
            }
        }
    }
}

impl Inner {
    fn slot(&self, name: &str) -> Result<&Slot, FlashError> {
        let found = self.slots.iter().find(|slot| slot.config.name == name);
        found.ok_or_else(|| FlashError::UnknownSlot(name.to_owned(), self.names()))
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.slots.iter().map(|slot| slot.config.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// What is known of a slot's content. What does not fit the slot is not known.
    fn content(&self, name: &str) -> Result<Option<SlotRecord>, FlashError> {
        let size = self.slot(name)?.config.size;
        Ok(self.records.read::<SlotRecord>(name)?.filter(|record| record.fits(size)))
    }

    fn record(&self) -> Result<BootRecord, FlashError> {
        let boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        self.record_of(&boot)
    }

    fn record_of(&self, boot: &BootControl) -> Result<BootRecord, FlashError> {
        let first = self.slots.first().map_or("", |slot| slot.config.name.as_str());
        Ok(boot.read()?.unwrap_or_else(|| BootRecord::fresh(first)))
    }

    fn apply(&self, event: Event<'_>) -> Result<(), FlashError> {
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.record_of(&boot)?;
        boot.apply(&record, event)?;
        Ok(())
    }

    fn info(&self, slot: &Slot, boot: &BootRecord) -> Result<SlotInfo, FlashError> {
        let name = &slot.config.name;
        let record = self.content(name)?;
        let content = match &record {
            Some(SlotRecord { sealed: Some(_), .. }) => Content::Sealed,
            Some(record) if record.begun() => Content::Partial,
            _ => Content::Empty,
        };
        Ok(SlotInfo {
            name: name.clone(),
            size: slot.config.size,
            running: boot.running == *name,
            good: boot.good == *name,
            trial: boot.trial.as_ref().is_some_and(|trial| trial.slot == *name),
            content,
            version: record.as_ref().and_then(|record| record.sealed.clone()),
            digest: record.map(|record| record.digest),
        })
    }
}

impl Slot {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    fn check(&self, slot: &str, holder: &str) -> Result<(), FlashError> {
        match &self.holder {
            Some(other) if other != holder => {
                Err(FlashError::Leased { slot: slot.to_owned(), holder: other.clone() })
            }
            _ => Ok(()),
        }
    }
}

fn validate(slots: &[SlotConfig]) -> Result<(), FlashError> {
    let mut seen = HashSet::new();
    for SlotConfig { name, file, size } in slots {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > NAME_LIMIT || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(FlashError::Configuration(format!(
                "slot name {name:?} is not valid: it takes 1 to 64 letters, digits, dots, dashes and underscores"
            )));
        }
        if *size == 0 {
            return Err(FlashError::Configuration(format!("slot {name:?} has size 0")));
        }
        if !seen.insert(("name", name)) || !seen.insert(("file", file)) {
            return Err(FlashError::Configuration(format!(
                "slot {name:?} has the name or the file of another one"
            )));
        }
    }
    Ok(())
}

fn make(folder: &dyn Folder, slot: &SlotConfig) -> std::io::Result<()> {
    let file = folder.open(&slot.file, Open::Create)?;
    if file.length()? < slot.size {
        file.extend(slot.size)?;
        file.sync()?;
        folder.sync()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
