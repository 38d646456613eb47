//! What a job needs to know of the device's slots.

use crate::flash::Flash;

/// The slots, as far as restarts and the end of a job go. Calls may block on the disk.
pub trait Slots: Send + Sync + 'static {
    /// The slot that runs; empty where there are none.
    fn running(&self) -> String;
    /// The slot for which this job has armed a trial boot; an error where that cannot be read.
    fn armed(&self, job: &str) -> Result<Option<String>, String>;
    /// Whether the slot that was wanted runs now.
    fn boot_expected(&self, wanted: &str) -> bool;
    /// Whether the image in this slot runs and boots for good.
    fn confirmed(&self, slot: &str) -> bool;
    /// Gives up the trial boot of this slot, if one is armed or runs; durable when it returns. Whether the device runs
    /// from the slot though the boot loader would not boot it again.
    fn give_up(&self, slot: &str) -> Result<bool, String>;
    /// Gives back what this job holds. Doing so again is well.
    fn release(&self, job: &str);
}

impl Slots for Flash {
    fn running(&self) -> String {
        self.running().unwrap_or_else(|error| {
            tracing::error!(%error, "the running slot is not known");
            String::new()
        })
    }

    fn armed(&self, job: &str) -> Result<Option<String>, String> {
        self.armed(job).map_err(|error| error.to_string())
    }

    fn boot_expected(&self, wanted: &str) -> bool {
        self.boot_expected(wanted)
    }

    fn confirmed(&self, slot: &str) -> bool {
        self.slots().is_ok_and(|slots| slots.iter().any(|it| it.belongs_to(slot) && it.running && it.good))
    }

    fn give_up(&self, slot: &str) -> Result<bool, String> {
        let slots = self.slots().map_err(|error| error.to_string())?;
        let mut own = slots.iter().filter(|it| it.belongs_to(slot)).peekable();
        if own.peek().is_some_and(|it| it.trial) {
            self.revert().map_err(|error| error.to_string())?;
        }
        Ok(own.peek().is_some_and(|it| it.running && !it.good))
    }

    fn release(&self, job: &str) {
        self.release(job);
    }
}

/// A device without slots.
#[derive(Clone, Copy, Debug)]
pub struct NoSlots;

impl Slots for NoSlots {
    fn running(&self) -> String {
        String::new()
    }

    fn armed(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn boot_expected(&self, _: &str) -> bool {
        true
    }

    fn confirmed(&self, _: &str) -> bool {
        false
    }

    fn give_up(&self, _: &str) -> Result<bool, String> {
        Ok(false)
    }

    fn release(&self, _: &str) {}
}
