//! The device's slots, and a boot loader that gives one trial: the rules of the real one, without a disk.

use crate::bindings::hotshoe::plugin::flash::{Content, Error, Slot, Space};

/// What stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The bytes from its start.
    pub bytes: Vec<u8>,
    /// Whether the device runs from it.
    pub running: bool,
    /// Whether it is confirmed.
    pub good: bool,
    /// Whether one trial boot of it is armed or under way.
    pub trial: bool,
    /// Whether it holds a whole, compared image.
    pub sealed: bool,
    /// The version it was sealed with.
    pub version: Option<String>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    size: u64,
    bytes: Vec<u8>,
    digest: Option<String>,
    version: Option<String>,
    content: Content,
    holder: Option<String>,
}

/// An image that has yet to prove itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trial {
    index: usize,
    /// False once it was booted.
    armed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    /// The slot that is booted when nothing is armed: the one confirmed last.
    good: usize,
    running: usize,
    trial: Option<Trial>,
}

impl Slots {
    pub(super) fn new(slots: &[(&str, u64)]) -> Slots {
        let entries = slots.iter().map(|(name, size)| Entry {
            name: (*name).to_owned(),
            size: *size,
            bytes: Vec::new(),
            digest: None,
            version: None,
            content: Content::Empty,
            holder: None,
        });
        Slots { entries: entries.collect(), ..Slots::default() }
    }

    fn on_trial(&self, index: usize) -> bool {
        self.trial.is_some_and(|trial| trial.index == index)
    }

    pub(super) fn list(&self) -> Vec<Slot> {
        let slot = |(index, entry): (usize, &Entry)| Slot {
            name: entry.name.clone(),
            size: entry.size,
            running: self.running == index,
            good: self.good == index,
            trial: self.on_trial(index),
            content: entry.content,
            version: entry.version.clone(),
            digest: entry.digest.clone(),
        };
        self.entries.iter().enumerate().map(slot).collect()
    }

    pub(super) fn image(&self, name: &str) -> Option<Image> {
        let (index, entry) = self.entries.iter().enumerate().find(|(_, entry)| entry.name == name)?;
        Some(Image {
            bytes: entry.bytes.clone(),
            running: self.running == index,
            good: self.good == index,
            trial: self.on_trial(index),
            sealed: entry.content == Content::Sealed,
            version: entry.version.clone(),
        })
    }

    pub(super) fn running(&self) -> Option<String> {
        self.entries.get(self.running).map(|entry| entry.name.clone())
    }

    pub(super) fn armed(&self) -> Option<String> {
        let trial = self.trial.filter(|trial| trial.armed)?;
        self.entries.get(trial.index).map(|entry| entry.name.clone())
    }

    pub(super) fn release(&mut self, job: &str) {
        for entry in self.entries.iter_mut().filter(|entry| entry.holder.as_deref() == Some(job)) {
            entry.holder = None;
        }
    }

    pub(super) fn boot(&mut self, stays_up: bool) {
        match &mut self.trial {
            Some(trial) if trial.armed && stays_up => {
                trial.armed = false;
                self.running = trial.index;
            }
            _ => {
                self.trial = None;
                self.running = self.good;
            }
        }
    }

    fn find(&mut self, name: &str) -> Result<(usize, &mut Entry), Error> {
        self.entries
            .iter_mut()
            .enumerate()
            .find(|(_, entry)| entry.name == name)
            .ok_or_else(|| Error::UnknownSlot(name.to_owned()))
    }

    /// Opens a slot for an image: from where it was, or from nothing.
    pub(super) fn open(&mut self, name: &str, digest: &str, job: &str) -> Result<(), Error> {
        let (running, good, trial) = (self.running, self.good, self.trial);
        let (index, entry) = self.find(name)?;
        if index == running {
            return Err(Error::Busy(format!("the device runs from {name}")));
        }
        if let Some(holder) = entry.holder.as_ref().filter(|holder| *holder != job) {
            return Err(Error::Leased(holder.clone()));
        }
        let same = entry.digest.as_deref() == Some(digest);
        if !(same && entry.content == Content::Sealed) {
            if trial.is_some() {
                return Err(Error::Busy("a trial is neither confirmed nor reverted".to_owned()));
            }
            if index == good {
                return Err(Error::Busy(format!("the boot loader falls back to {name}")));
            }
        }
        entry.holder = Some(job.to_owned());
        if !same {
            entry.bytes.clear();
            entry.digest = Some(digest.to_owned());
            entry.version = None;
            entry.content = Content::Partial;
        }
        Ok(())
    }

    pub(super) fn written(&mut self, name: &str) -> u64 {
        self.find(name).map_or(0, |(_, entry)| entry.bytes.len() as u64)
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> Result<u64, Error> {
        let (_, entry) = self.find(name)?;
        let needed = entry.bytes.len().saturating_add(bytes.len()) as u64;
        if needed > entry.size {
            return Err(Error::InsufficientSpace(Space { needed, available: entry.size }));
        }
        entry.bytes.extend_from_slice(bytes);
        Ok(needed)
    }

    /// Appends what is missing of a file, at most up to `end`.
    pub(super) fn append_rest(&mut self, name: &str, file: &[u8], end: usize) -> Result<u64, Error> {
        let (_, entry) = self.find(name)?;
        if file.len() as u64 > entry.size {
            return Err(Error::InsufficientSpace(Space { needed: file.len() as u64, available: entry.size }));
        }
        let rest = file.get(entry.bytes.len()..end).unwrap_or_default();
        self.append(name, rest)
    }

    pub(super) fn seal(&mut self, name: &str, version: &str) -> Result<(), Error> {
        let (_, entry) = self.find(name)?;
        let actual = super::host::download::sha256(&entry.bytes);
        if entry.digest.as_ref() != Some(&actual) {
            entry.bytes.clear();
            entry.digest = None;
            entry.content = Content::Empty;
            return Err(Error::DigestMismatch(actual));
        }
        entry.content = Content::Sealed;
        entry.version = Some(version.to_owned());
        Ok(())
    }

    pub(super) fn activate(&mut self, name: &str) -> Result<(), Error> {
        let (running, good, trial) = (self.running, self.good, self.trial);
        let (index, entry) = self.find(name)?;
        if entry.content != Content::Sealed {
            return Err(Error::NotSealed(name.to_owned()));
        }
        match trial {
            Some(trial) if trial.armed && trial.index == index => {}
            Some(_) => return Err(Error::Busy("a trial is neither confirmed nor reverted".to_owned())),
            None if index == running || index == good => {
                return Err(Error::Busy(format!("{name} runs, or is what the boot loader falls back to")));
            }
            None => self.trial = Some(Trial { index, armed: true }),
        }
        Ok(())
    }

    pub(super) fn confirm(&mut self) -> Result<(), Error> {
        match self.trial {
            Some(trial) if !trial.armed && trial.index == self.running => {
                self.good = trial.index;
                self.trial = None;
            }
            _ if self.running == self.good => {}
            _ => return Err(Error::Busy("the trial was given up".to_owned())),
        }
        Ok(())
    }

    pub(super) fn revert(&mut self) {
        self.trial = None;
    }

    /// Gives up a trial; whether the device runs from it.
    pub(super) fn give_up(&mut self) -> bool {
        self.trial = None;
        self.running != self.good
    }
}
