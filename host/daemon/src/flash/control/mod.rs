//! Boot control: what the boot loader remembers, and how the host changes it.
//!
//! One trait, a back end a file: [`File`] (two copies of a record of our own, for boot loaders that read it and for the
//! simulation), [`UBoot`] (its environment), [`Grub`] (its environment block), [`SystemdBoot`] (counted entries). What
//! may happen to a record is decided in [`hotshoe_core::slot`]; a back end only reads and writes it durably.
//!
//! Which slot *runs* is not the boot loader's memory but a fact: the kernel's command line tells it where the boot
//! loader puts it there. Where that and the memory differ the fact counts. Where there is neither, nobody guesses: no
//! slot is written until somebody says which one runs, since writing the running one is what must never happen.

mod file;
mod grub;
mod systemd_boot;
mod u_boot;

use std::fmt::Debug;

use hotshoe_core::{
    planted::{self, Bug},
    slot::{BootRecord, Event},
};

use super::FlashError;

pub use file::File;
pub use grub::Grub;
pub use systemd_boot::SystemdBoot;
pub use u_boot::{Copy, UBoot};

/// What a boot loader remembers, on the disk. Calls block on it.
pub trait BootControl: Debug + Send {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// Makes durable what is remembered now: a process that was killed before it had done so may have left it, and a
    /// power cut would take it back after somebody has acted on it.
    fn settle(&self) -> Result<(), FlashError>;

    /// What is remembered now.
    fn read(&self) -> Result<Memory, FlashError>;

    /// Makes this the memory. Durable when it returns; after an error the old or the new one stands, whole.
    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError>;

    /// Whether the memory says which slot was booted last. Boot loaders that do not write at every boot cannot.
    fn remembers_running(&self) -> bool {
        false
    }
}

/// What a boot loader remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing was ever written.
    Empty,
    /// What was written cannot be read, and why.
    Corrupt(String),
    /// This. `running` is empty where the boot loader does not remember it.
    Record(BootRecord),
}

/// A boot loader's memory, put right by what is known of this boot.
#[derive(Debug)]
pub(super) struct Boot {
    control: Box<dyn BootControl>,
    /// The slot that the kernel's command line names.
    told: Option<String>,
    /// The slot of a device on which nothing was ever installed.
    first: String,
    /// Whether the last write failed, so that what a read returns may be gone after a power cut.
    doubtful: bool,
    /// Whether what an earlier process left was made durable.
    settled: bool,
}

impl Boot {
    pub(super) fn new(control: Box<dyn BootControl>, told: Option<String>, first: &str) -> Self {
        Self { control, told, first: first.to_owned(), doubtful: false, settled: false }
    }

    /// The record as it is true now, and would be after a power cut: where the last write failed, what it left is
    /// written again first. [`FlashError::Unknown`] where it is not known which slot runs.
    pub(super) fn record(&mut self) -> Result<BootRecord, FlashError> {
        if !self.settled {
            self.control.settle()?;
            self.settled = true;
        }
        let mut record = self.read()?;
        if self.doubtful {
            record.sequence = record.sequence.saturating_add(1);
            self.write(&record)?;
        }
        Ok(record)
    }

    fn read(&self) -> Result<BootRecord, FlashError> {
        match (self.control.read()?, &self.told) {
            (Memory::Record(record), Some(told)) => Ok(record.with_running(told)),
            (Memory::Record(record), None) if !record.running.is_empty() => Ok(record),
            (Memory::Empty | Memory::Corrupt(_), Some(told)) => Ok(BootRecord::fresh(told)),
            (Memory::Empty, None) if self.control.remembers_running() => Ok(BootRecord::fresh(&self.first)),
            (Memory::Corrupt(why), None) if self.control.remembers_running() => Err(FlashError::Unknown(
                format!("{why}; say which one runs with the method hotshoe.slots.running"),
            )),
            (_, None) => Err(FlashError::Unknown(format!(
                "the kernel's command line does not say; have {} put it there",
                self.control.name()
            ))),
        }
    }

    /// Applies an event and makes the outcome durable before it returns.
    pub(super) fn apply(&mut self, event: Event<'_>) -> Result<BootRecord, FlashError> {
        let record = self.record()?;
        let next = record.after(event)?;
        if next != record {
            self.write(&next)?;
        }
        Ok(next)
    }

    /// Settles which slot runs where that is not known. It becomes the good one.
    pub(super) fn declare(&mut self, running: &str) -> Result<(), FlashError> {
        match self.record() {
            Ok(record) if record.running == running => Ok(()),
            Ok(record) => Err(FlashError::Busy(format!("it is known that slot {:?} runs", record.running))),
            Err(FlashError::Unknown(_)) if self.control.remembers_running() => {
                self.write(&BootRecord { sequence: 1, ..BootRecord::fresh(running) })
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        self.doubtful = !planted::on(Bug::BootFailureForgotten);
        let written = self.control.write(record);
        if !planted::on(Bug::BootErrorSwallowed) {
            written?;
        }
        self.doubtful = false;
        Ok(())
    }

    /// What in the memory does not fit what the kernel says, in words for the log.
    pub(super) fn disagreement(&self) -> Option<String> {
        let told = self.told.as_ref()?;
        let Ok(Memory::Record(record)) = self.control.read() else { return None };
        let trial = record.trial.as_ref().is_some_and(|trial| trial.slot == *told);
        let expected = record.good == *told || trial;
        (!expected).then(|| {
            format!(
                "the kernel says that slot {told:?} runs, the boot loader would have booted {:?}",
                record.good
            )
        })
    }
}

#[cfg(test)]
mod tests;
