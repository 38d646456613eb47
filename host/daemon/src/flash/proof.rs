//! Whether what is sealed in a slot is still what was vouched for.
//!
//! Promise: what is armed was read back from the disk no longer ago than [`FRESH`], and what is taken over by another job
//! as well. A seal is the truth of the day on which it was made: since then the image may have run and written to its own
//! slot, been cut off while it did so, or rotted. So an image that is not whole any more is found out before it boots, and
//! ordering it again mends it.
//!
//! A slot that may not be written now is not judged. It runs, or is what the boot loader falls back to, or its trial is
//! armed: what its image has made of it is its own affair, and taking its seal away would change nothing of what boots.

use std::time::{Duration, Instant};

use hotshoe_core::{
    planted::{self, Bug},
    policy::Unsigned,
};

use super::{Flash, FlashError, Inner, Slot, Staging, record::SlotRecord};

/// How long it counts that something was read back. What rots later must be noticed.
pub(super) const FRESH: Duration = Duration::from_secs(60);

impl Flash {
    /// Reads back what is sealed in a group, before it is armed, and takes the leases on it for this job. What was read
    /// back within the last minute is not read again.
    ///
    /// # Errors
    /// It is not whole, and not sealed any more: stage it again. Or as [`Flash::stage`] and [`Flash::activate`].
    pub fn prove(&self, group: &str, holder: &str) -> Result<(), FlashError> {
        let group = self.0.group(group)?;
        for part in &group.parts {
            self.0.slot(part)?.lease().check(part, holder)?;
        }
        if !planted::on(Bug::ActivateUnsealed) {
            self.0.is_complete(group, holder)?;
        }
        for part in &group.parts {
            if let Some(SlotRecord { digest, sealed: Some(version), .. }) = self.0.content(part)? {
                // Whoever vouched for it stands in its record, and no byte is written.
                self.stage(part, &digest, holder, Unsigned::Allow)?.seal(&version)?;
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Whether what is sealed in a slot is to be read again before it counts.
    pub(super) fn is_doubtful(&self, slot: &Slot) -> Result<bool, FlashError> {
        let fresh = slot.lease().proven.is_some_and(|at| at.elapsed() < FRESH);
        if fresh || planted::on(Bug::SealBelieved) {
            return Ok(false);
        }
        Ok(self.record()?.writable(&slot.group).is_ok())
    }
}

impl Staging {
    /// Notes that the slot was read back just now and is right.
    pub(super) fn proved(&self) -> Result<(), FlashError> {
        let mut lease = self.flash.slot(&self.slot.name)?.lease();
        self.current(lease.generation)?;
        lease.proven = Some(Instant::now());
        Ok(())
    }

    /// Whether a record may take this one's place: one that is sealed gives way only while its slot may be written. The
    /// lease is held by the caller, and arming wants it.
    pub(super) fn gives_way(&self, record: Option<&SlotRecord>) -> Result<(), FlashError> {
        if self.record.sealed.is_some() && record.is_none_or(|record| record.sealed.is_none()) {
            self.flash.record()?.writable(&self.flash.slot(&self.slot.name)?.group)?;
        }
        Ok(())
    }
}
