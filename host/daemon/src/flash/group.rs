//! Groups: slots that are updated together, all or none.
//!
//! Promise: a group is armed only when every part of it holds what one and the same job has sealed there. A kernel of
//! this update beside a root file system of the one before never boots.
//!
//! Why the job is written down with the digests: that a part is sealed says that it is whole, not that it belongs to
//! the others. A job that finds a part sealed with the digest that it wants reads it back and takes it over without
//! writing it again.
//! Parts are written in the order of the configuration, so that what is there after a cut is always a beginning.

use std::collections::BTreeMap;

use hotshoe_core::{
    digest::Digest,
    planted::{self, Bug},
};
use serde::{Deserialize, Serialize};

use super::{FlashError, Inner, SlotRecord};

/// Slots that are updated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its name: what is activated, and what the boot loader knows.
    pub name: String,
    /// Its slots, in the order in which they are written. A plain slot is a group of itself.
    pub parts: Vec<String>,
}

impl GroupInfo {
    fn is_plain(&self) -> bool {
        self.parts.len() < 2
    }
}

/// What one job has begun to write into a group's parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Update {
    job: String,
    parts: BTreeMap<String, Digest>,
}

impl Inner {
    pub(super) fn group(&self, name: &str) -> Result<&GroupInfo, FlashError> {
        let found = self.groups.iter().find(|group| group.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.groups.iter().map(|group| group.name.as_str()).collect();
            FlashError::UnknownSlot(name.to_owned(), names.join(", "))
        })
    }

    /// Whether this job may write to that part now: those before it hold what it has sealed there.
    pub(super) fn in_order(&self, group: &str, part: &str, job: &str) -> Result<(), FlashError> {
        let group = self.group(group)?;
        if group.is_plain() {
            return Ok(());
        }
        let update = self.update(&group.name)?;
        for before in group.parts.iter().take_while(|name| *name != part) {
            if !self.holds(before, update.as_ref(), job)? {
                return Err(FlashError::Busy(format!(
                    "slot {before:?} comes before {part:?} in group {:?}; stage and seal it in this job first",
                    group.name
                )));
            }
        }
        Ok(())
    }

    /// Writes down that this job wants this digest in that part.
    pub(super) fn belongs(
        &self,
        group: &str,
        part: &str,
        digest: &Digest,
        job: &str,
    ) -> Result<(), FlashError> {
        let group = self.group(group)?;
        if group.is_plain() {
            return Ok(());
        }
        let known = self.update(&group.name)?;
        let own = known.clone().filter(|update| update.job == job);
        let mut update = own.unwrap_or_else(|| Update { job: job.to_owned(), parts: BTreeMap::new() });
        update.parts.insert(part.to_owned(), digest.clone());
        if known.as_ref() != Some(&update) {
            self.updates.write(&group.name, &update)?;
        }
        Ok(())
    }

    /// Whether a group may be armed by this job.
    pub(super) fn is_complete(&self, group: &GroupInfo, job: &str) -> Result<(), FlashError> {
        for part in &group.parts {
            if self.content(part)?.is_none_or(|record| record.sealed.is_none()) {
                return Err(FlashError::NotSealed(format!(
                    "slot {part:?} holds no sealed image; stage and seal one first"
                )));
            }
        }
        if group.is_plain() {
            return Ok(());
        }
        let update = self.update(&group.name)?;
        for part in &group.parts {
            if !self.holds(part, update.as_ref(), job)? {
                return Err(FlashError::NotSealed(format!(
                    "slot {part:?} holds an image of another update than the rest of group {:?}; stage and seal it in \
                     this job, too",
                    group.name
                )));
            }
        }
        Ok(())
    }

    fn update(&self, group: &str) -> Result<Option<Update>, FlashError> {
        Ok(self.updates.read(group)?)
    }

    fn holds(&self, part: &str, update: Option<&Update>, job: &str) -> Result<bool, FlashError> {
        if planted::on(Bug::GroupMixed) {
            return Ok(self.content(part)?.is_some_and(|record| record.sealed.is_some()));
        }
        let Some(update) = update.filter(|update| update.job == job) else { return Ok(false) };
        let sealed = |record: &SlotRecord| {
            record.sealed.is_some() && update.parts.get(part).is_some_and(|digest| *digest == record.digest)
        };
        Ok(self.content(part)?.as_ref().is_some_and(sealed))
    }
}
