//! Slots: where images stand, what is in them, and which one boots.
//!
//! Promise: the slot the device runs from is never written, nor the one it falls back to; a slot counts as sealed
//! only after its bytes were read back from the disk and had the digest that vouches for them, and is read back again
//! before that is counted on later; an image boots for good only after it said so itself. One job at a time holds a
//! slot, whoever's plugin it belongs to. Every call may be cut anywhere and made again.
//!
//! Why the record of a slot is written *before* its first byte: until then the old image is whole and sealed, from
//! then on it is nothing; there is no moment at which a half-written slot counts as bootable.
//!
//! What boots is decided in [`hotshoe_core::slot`], and remembered by the boot loader ([`control`]). Slots that are
//! updated together are a [`group`]; a plain slot is a group of itself. This module does not fetch, and it does not
//! choose: plugins do. All calls block on the disk.

pub mod boot;
pub mod control;

mod config;
mod error;
mod group;
mod place;
mod proof;
mod record;
mod records;
mod staged;
mod staging;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hotshoe_core::{
    digest::Digest,
    planted::{self, Bug},
    policy::Unsigned,
    slot::{BootRecord, Event},
};
use serde::{Deserialize, Serialize};

use crate::{disk::Folder, state::StateDir};
use control::Boot;
use record::SlotRecord;
use records::Records;

pub use config::{FlashSettings, GroupConfig, PartConfig, SlotConfig};
pub use error::FlashError;
pub use group::GroupInfo;
pub use place::Place;
pub use record::Encoded;
pub use staged::{Sealed, Staged};
pub use staging::{Reader, Running, Staging, Unsynced, Wear};

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
    records: Records,
    /// The hashes of what is in each slot.
    trees: Arc<dyn Folder>,
    /// Which parts of a group one job has written.
    updates: StateDir,
    slots: Vec<Slot>,
    groups: Vec<GroupInfo>,
    boot: Mutex<Boot>,
}

#[derive(Debug)]
struct Slot {
    config: PartConfig,
    group: String,
    lease: Mutex<Lease>,
}

/// Who may write to a slot. Held while a piece is written, so that it cannot change under one.
#[derive(Debug, Default)]
struct Lease {
    holder: Option<String>,
    /// Grows when a staging is opened or the holder lets go; older stagings write no more.
    generation: u64,
    /// When this process last read back what is sealed in the slot, to its end.
    proven: Option<Instant>,
}

impl Flash {
    /// Opens plain slots that are files in a folder, in this order, with the boot record beside them.
    ///
    /// See [`Flash::with`].
    pub fn open(folder: Arc<dyn Folder>, slots: Vec<SlotConfig>) -> Result<Flash, FlashError> {
        let settings = FlashSettings::files(&folder, slots);
        Self::with(folder, settings)
    }

    /// Opens slots. What is known of their content stands in the folder.
    ///
    /// Makes the files that are missing, with room for all of their size. A boot record that names a slot that is
    /// not configured is an error: writing to the others might hit the running one. Where it is not known which slot
    /// runs, none can be written until [`Flash::declare_running`].
    pub fn with(folder: Arc<dyn Folder>, settings: FlashSettings) -> Result<Flash, FlashError> {
        let FlashSettings { groups, boot, running } = settings;
        config::validate(&groups)?;
        for part in groups.iter().flat_map(|group| &group.parts) {
            part.make().map_err(FlashError::io(format!("make room for slot {:?}", part.name)))?;
        }
        let trees = folder.folder("trees").map_err(FlashError::io("make the folder of hashes"))?;
        let state = StateDir::of(folder);
        let records = Records::new(state.subdirectory("slots")?);
        let grouped = groups.iter().any(|group| group.parts.len() > 1);
        let updates = if grouped { state.subdirectory("groups")? } else { state };
        let boot = Boot::new(boot, running, groups.first().map_or("", |group| &group.name));
        let (mut slots, mut infos) = (Vec::new(), Vec::new());
        for GroupConfig { name, parts } in groups {
            infos.push(GroupInfo {
                name: name.clone(),
                parts: parts.iter().map(|part| part.name.clone()).collect(),
            });
            let slot = |config| Slot { config, group: name.clone(), lease: Mutex::default() };
            slots.extend(parts.into_iter().map(slot));
        }
        let flash =
            Flash(Arc::new(Inner { records, trees, updates, slots, groups: infos, boot: Mutex::new(boot) }));
        flash.0.check_record()?;
        Ok(flash)
    }

    /// The slots, in the order of the configuration. Where it is not known which one runs, none says so.
    pub fn slots(&self) -> Result<Vec<SlotInfo>, FlashError> {
        let boot = match self.0.record() {
            Err(FlashError::Unknown(_)) => BootRecord::fresh(""),
            boot => boot?,
        };
        self.0.slots.iter().map(|slot| self.0.info(slot, &boot)).collect()
    }

    /// The groups, in the order of the configuration: what [`Flash::activate`] takes.
    pub fn groups(&self) -> Vec<GroupInfo> {
        self.0.groups.clone()
    }

    /// The group the device runs from; empty if there are no slots.
    pub fn running(&self) -> Result<String, FlashError> {
        Ok(self.0.record()?.running)
    }

    /// Whether the device runs from this group: after a restart, whether its trial took.
    pub fn boot_expected(&self, wanted: &str) -> bool {
        self.running().is_ok_and(|running| running == wanted)
    }

    /// Whether what runs has yet to prove itself.
    pub fn on_trial(&self) -> bool {
        self.0.record().is_ok_and(|record| record.on_trial())
    }

    /// Whether what runs was never confirmed: it is on trial, or its trial was given up.
    pub fn is_unproven(&self) -> bool {
        self.0.record().is_ok_and(|record| record.running != record.good)
    }

    /// Says which group runs, where that is not known. It counts as good from then on. Durable when it returns.
    ///
    /// Whoever says so must know it: the others may be written afterwards. An error where it is known otherwise.
    pub fn declare_running(&self, group: &str) -> Result<(), FlashError> {
        self.0.group(group)?;
        self.0.boot().declare(group)
    }

    /// The group for which a trial boot is armed, unless another job holds it.
    pub fn armed(&self, holder: &str) -> Result<Option<String>, FlashError> {
        let boot = self.0.record()?;
        let Some(trial) = boot.trial.filter(|trial| trial.slot != boot.running) else { return Ok(None) };
        let own = self
            .0
            .group(&trial.slot)?
            .parts
            .iter()
            .all(|part| self.0.slot(part).is_ok_and(|slot| slot.lease().check(part, holder).is_ok()));
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
        let same = |record: &SlotRecord| record.digest == *digest || planted::on(Bug::OtherImageResumed);
        let known = self.0.content(slot)?.filter(same);
        let known = known.map(|record| SlotRecord { digest: digest.clone(), ..record });
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
        if !sealed || boot.running == found.group {
            boot.writable(&found.group)?;
        }
        self.0.in_order(&found.group, slot, holder)?;
        self.0.belongs(&found.group, slot, digest, holder)?;
        let signed = match &assurance {
            Assurance::Signed(signed) => Some(signed.clone()),
            Assurance::Policy(_) => None,
        };
        let record = match known {
            Some(record) if record.signed == signed => record,
            known => {
                let known = known.unwrap_or_else(|| SlotRecord::opened(digest.clone(), None));
                let record = SlotRecord { signed, ..known };
                if !planted::on(Bug::OldRecordKept) {
                    self.0.records.write(slot, &record)?;
                }
                record
            }
        };
        lease.holder = Some(holder.to_owned());
        lease.generation = lease.generation.saturating_add(1);
        let generation = lease.generation;
        drop(lease);
        Staging::new(self.0.clone(), found.config.clone(), record, generation, assurance)
    }

    /// Arms one trial boot of a group whose slots are sealed, all of them; where it has several, by this job. Durable when
    /// it returns; arming it again is well.
    ///
    /// Does not look at what is in the slots: that is what [`Flash::prove`] is for, just before.
    pub fn activate(&self, group: &str, holder: &str) -> Result<(), FlashError> {
        let group = self.0.group(group)?;
        let mut leases = Vec::new();
        for part in &group.parts {
            let lease = self.0.slot(part)?.lease();
            lease.check(part, holder)?;
            leases.push(lease);
        }
        if !planted::on(Bug::ActivateUnsealed) {
            self.0.is_complete(group, holder)?;
        }
        self.0.apply(Event::Activate(&group.name))
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

    fn boot(&self) -> MutexGuard<'_, Boot> {
        self.boot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> Result<BootRecord, FlashError> {
        if self.slots.is_empty() {
            return Ok(BootRecord::fresh(""));
        }
        self.boot().record()
    }

    fn apply(&self, event: Event<'_>) -> Result<(), FlashError> {
        if self.slots.is_empty() {
            return Ok(());
        }
        self.boot().apply(event)?;
        Ok(())
    }

    /// Whether the boot loader and the configuration speak of the same groups.
    fn check_record(&self) -> Result<(), FlashError> {
        let record = match self.record() {
            Err(error @ FlashError::Unknown(_)) => {
                tracing::error!(%error, "no slot will be written");
                return Ok(());
            }
            record => record?,
        };
        for name in [&record.running, &record.good] {
            if !name.is_empty() && self.group(name).is_err() {
                return Err(FlashError::Configuration(format!(
                    "the boot record names slot {name:?}, the configuration has only {}",
                    self.names()
                )));
            }
        }
        if let Some(disagreement) = self.boot().disagreement() {
            tracing::warn!("{disagreement}");
        }
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
            running: boot.running == slot.group,
            good: boot.good == slot.group,
            trial: boot.trial.as_ref().is_some_and(|trial| trial.slot == slot.group),
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

#[cfg(test)]
mod tests;
