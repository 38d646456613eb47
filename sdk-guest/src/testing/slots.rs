//! The device's slots, and a boot loader that gives one trial: the rules of the real one, without a disk.

use crate::bindings::hotshoe::plugin::flash::{Content, Error, Group, Slot, Space};

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
    /// The group that it is a part of.
    group: usize,
    size: u64,
    bytes: Vec<u8>,
    digest: Option<String>,
    version: Option<String>,
    content: Content,
    holder: Option<String>,
}

/// A group that has yet to prove itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trial {
    group: usize,
    /// False once it was booted.
    armed: bool,
}

/// Slots, each a part of a group; the boot loader knows groups alone.
#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Entry>,
    /// The groups by their names.
    groups: Vec<String>,
    /// The group that is booted when nothing is armed: the one confirmed last.
    good: usize,
    running: usize,
    trial: Option<Trial>,
}

impl Slots {
    /// Slots that are groups of their own.
    pub(super) fn new(slots: &[(&str, u64)]) -> Slots {
        let mut new = Slots::default();
        for (name, size) in slots {
            new.add(name, *size);
            new.groups.push((*name).to_owned());
        }
        new
    }

    /// Groups of parts.
    pub(super) fn grouped(groups: &[(&str, &[(&str, u64)])]) -> Slots {
        let mut new = Slots::default();
        for (group, parts) in groups {
            for (part, size) in *parts {
                new.add(&format!("{group}/{part}"), *size);
            }
            new.groups.push((*group).to_owned());
        }
        new
    }

    fn add(&mut self, name: &str, size: u64) {
        self.entries.push(Entry {
            name: name.to_owned(),
            group: self.groups.len(),
            size,
            bytes: Vec::new(),
            digest: None,
            version: None,
            content: Content::Empty,
            holder: None,
        });
    }

    fn on_trial(&self, group: usize) -> bool {
        self.trial.is_some_and(|trial| trial.group == group)
    }

    pub(super) fn list(&self) -> Vec<Slot> {
        let slot = |entry: &Entry| Slot {
            name: entry.name.clone(),
            size: entry.size,
            running: self.running == entry.group,
            good: self.good == entry.group,
            trial: self.on_trial(entry.group),
            content: entry.content,
            version: entry.version.clone(),
            digest: entry.digest.clone(),
        };
        self.entries.iter().map(slot).collect()
    }

    pub(super) fn groups(&self) -> Vec<Group> {
        let parts = |group: usize| self.entries.iter().filter(move |entry| entry.group == group);
        let group = |(index, name): (usize, &String)| Group {
            name: name.clone(),
            parts: parts(index).map(|entry| entry.name.clone()).collect(),
        };
        self.groups.iter().enumerate().map(group).collect()
    }

    pub(super) fn image(&self, name: &str) -> Option<Image> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(Image {
            bytes: entry.bytes.clone(),
            running: self.running == entry.group,
            good: self.good == entry.group,
            trial: self.on_trial(entry.group),
            sealed: entry.content == Content::Sealed,
            version: entry.version.clone(),
        })
    }

    pub(super) fn running(&self) -> Option<String> {
        self.groups.get(self.running).cloned()
    }

    pub(super) fn armed(&self) -> Option<String> {
        let trial = self.trial.filter(|trial| trial.armed)?;
        self.groups.get(trial.group).cloned()
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
                self.running = trial.group;
            }
            _ => {
                self.trial = None;
                self.running = self.good;
            }
        }
    }

    fn find(&mut self, name: &str) -> Result<&mut Entry, Error> {
        self.entries
            .iter_mut()
            .find(|entry| entry.name == name)
            .ok_or_else(|| Error::UnknownSlot(name.to_owned()))
    }

    /// The parts of a group are written in their order: those before must be sealed by the same job.
    fn in_order(&self, name: &str, group: usize, job: &str) -> Result<(), Error> {
        let mut before =
            self.entries.iter().filter(|entry| entry.group == group).take_while(|entry| entry.name != name);
        match before.find(|entry| entry.content != Content::Sealed || entry.holder.as_deref() != Some(job)) {
            Some(part) => Err(Error::Busy(format!("{} comes before {name}: seal it first", part.name))),
            None => Ok(()),
        }
    }

    /// Opens a slot for an image: from where it was, or from nothing.
    pub(super) fn open(&mut self, name: &str, digest: &str, job: &str) -> Result<(), Error> {
        let (running, good, trial) = (self.running, self.good, self.trial);
        let group = self.find(name)?.group;
        if group == running {
            return Err(Error::Busy(format!("the device runs from {name}")));
        }
        self.in_order(name, group, job)?;
        let entry = self.find(name)?;
        if let Some(holder) = entry.holder.as_ref().filter(|holder| *holder != job) {
            return Err(Error::Leased(holder.clone()));
        }
        let same = entry.digest.as_deref() == Some(digest);
        if !(same && entry.content == Content::Sealed) {
            if trial.is_some() {
                return Err(Error::Busy("a trial is neither confirmed nor reverted".to_owned()));
            }
            if group == good {
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

    /// What a slot is staged for.
    pub(super) fn staged_for(&mut self, name: &str) -> Option<String> {
        self.find(name).ok()?.digest.clone()
    }

    pub(super) fn written(&mut self, name: &str) -> u64 {
        self.find(name).map_or(0, |entry| entry.bytes.len() as u64)
    }

    /// Appends bytes.
    pub(super) fn append(&mut self, name: &str, bytes: &[u8]) -> Result<u64, Error> {
        let entry = self.find(name)?;
        let needed = entry.bytes.len().saturating_add(bytes.len()) as u64;
        if needed > entry.size {
            return Err(Error::InsufficientSpace(Space { needed, available: entry.size }));
        }
        entry.bytes.extend_from_slice(bytes);
        Ok(needed)
    }

    /// Appends what is missing of a file, at most up to `end`.
    pub(super) fn append_rest(&mut self, name: &str, file: &[u8], end: usize) -> Result<u64, Error> {
        let entry = self.find(name)?;
        if file.len() as u64 > entry.size {
            return Err(Error::InsufficientSpace(Space { needed: file.len() as u64, available: entry.size }));
        }
        let rest = file.get(entry.bytes.len()..end).unwrap_or_default();
        self.append(name, rest)
    }

    /// Flips a bit of what is in a slot.
    pub(super) fn damage(&mut self, name: &str) -> bool {
        let byte = self.find(name).ok().and_then(|entry| entry.bytes.first_mut());
        byte.map(|byte| *byte ^= 1).is_some()
    }

    pub(super) fn seal(&mut self, name: &str, version: &str) -> Result<(), Error> {
        let group = self.find(name)?.group;
        if self.on_trial(group) || group == self.good {
            return Ok(());
        }
        self.prove(name)?;
        let entry = self.find(name)?;
        entry.content = Content::Sealed;
        entry.version = Some(version.to_owned());
        Ok(())
    }

    /// Reads back what is in a slot.
    fn prove(&mut self, name: &str) -> Result<(), Error> {
        let entry = self.find(name)?;
        let actual = super::host::download::sha256(&entry.bytes);
        if entry.digest.as_ref() != Some(&actual) {
            entry.bytes.clear();
            entry.digest = None;
            entry.content = Content::Empty;
            return Err(Error::DigestMismatch(actual));
        }
        Ok(())
    }

    pub(super) fn activate(&mut self, name: &str) -> Result<(), Error> {
        let group = self.groups.iter().position(|group| group == name);
        let group = group.ok_or_else(|| Error::UnknownSlot(name.to_owned()))?;
        let mut parts = self.entries.iter().filter(|entry| entry.group == group);
        if let Some(part) = parts.find(|entry| entry.content != Content::Sealed) {
            return Err(Error::NotSealed(part.name.clone()));
        }
        match self.trial {
            Some(trial) if trial.armed && trial.group == group => {}
            Some(_) => return Err(Error::Busy("a trial is neither confirmed nor reverted".to_owned())),
            None if group == self.running || group == self.good => {
                return Err(Error::Busy(format!("{name} runs, or is what the boot loader falls back to")));
            }
            None => {
                let parts = self.entries.iter().filter(|entry| entry.group == group);
                let parts: Vec<String> = parts.map(|entry| entry.name.clone()).collect();
                parts.iter().try_for_each(|part| self.prove(part))?;
                self.trial = Some(Trial { group, armed: true });
            }
        }
        Ok(())
    }

    pub(super) fn confirm(&mut self) -> Result<(), Error> {
        match self.trial {
            Some(trial) if !trial.armed && trial.group == self.running => {
                self.good = trial.group;
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
