//! What a job needs to know of the device's slots.

use crate::flash::Flash;

/// The slots, as far as restarts and the end of a job go. Calls may block on the disk.
pub trait Slots: Send + Sync + 'static {
    /// The slot that runs; empty where there are none.
    fn running(&self) -> String;
    /// The slot for which this job has armed a trial boot.
    fn armed(&self, job: &str) -> Option<String>;
    /// Whether the slot that was wanted runs now.
    fn boot_expected(&self, wanted: &str) -> bool;
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

    fn armed(&self, job: &str) -> Option<String> {
        self.armed(job).unwrap_or_else(|error| {
            tracing::error!(%error, "the armed slot is not known");
            None
        })
    }

    fn boot_expected(&self, wanted: &str) -> bool {
        self.boot_expected(wanted)
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

    fn armed(&self, _: &str) -> Option<String> {
        None
    }

    fn boot_expected(&self, _: &str) -> bool {
        true
    }

    fn release(&self, _: &str) {}
}
