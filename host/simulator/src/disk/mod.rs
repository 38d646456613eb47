//! A disk in memory that can be cut at every operation: [`Folder`] and [`Volume`] for the device's real code.
//!
//! What it promises is what `hotshoed::disk` promises of a disk, and no more: what was written is seen at once, and is
//! durable after a sync of that file, a name after a sync of its folder. What a cut leaves of the rest is [`Loss`]'s.

mod content;
mod cut;
mod tree;

use std::{io, sync::Arc};

use hotshoed::disk::{BLOCK, Buffer, Folder, Hint, Open, Volume};

pub use self::{
    content::{Change, Content, SECTOR},
    cut::Loss,
    tree::{Entry, FileId, FolderId, Tree},
};
use crate::machine::{Kind, SimulatedFolder, SimulatedVolume};

impl SimulatedFolder {
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn change<T>(
        &self,
        kind: Kind,
        words: impl FnOnce() -> String,
        perform: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        self.machine.operate(kind, words, |_, _| (), perform)
    }
}

impl Folder for SimulatedFolder {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        let path: Arc<str> = self.at(name).into();
        let volume = |id| -> Box<dyn Volume> {
            let direct = how == Open::Direct;
            Box::new(SimulatedVolume { machine: self.machine.clone(), id, path: Arc::clone(&path), direct })
        };
        let folder = self.id;
        let found = self.machine.read(|| format!("open {path}"), |disk| Ok(disk.entry(folder, name)))?;
        match found {
            Some(Entry::Folder(_)) => Err(io::Error::other("it is a folder")),
            Some(Entry::File(id)) => {
                let volume = volume(id);
                if how == Open::Truncate {
                    volume.set_length(0)?;
                }
                Ok(volume)
            }
            None if matches!(how, Open::Reading | Open::Existing | Open::Direct) => {
                Err(io::ErrorKind::NotFound.into())
            }
            None => self
                .change(Kind::Change, || format!("create {path}"), |disk| Ok(disk.make_file(folder, name)))
                .map(volume),
        }
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        let (folder, path) = (self.id, self.at(name));
        let found = self.machine.read(|| format!("open {path}"), |disk| Ok(disk.entry(folder, name)))?;
        let id = match found {
            Some(Entry::Folder(id)) => id,
            Some(Entry::File(_)) => return Err(io::Error::other("it is a file")),
            None => {
                let made = |disk: &mut Tree| Ok(disk.make_folder(folder, name));
                self.change(Kind::Change, || format!("mkdir {path}"), made)?
            }
        };
        self.sync()?;
        Ok(Arc::new(SimulatedFolder { machine: self.machine.clone(), id, path: path.into() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let words = || format!("rename {} -> {to}", self.at(from));
        self.change(Kind::Change, words, |disk| disk.rename(self.id, from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        // Asked first, so that what is missing is no operation.
        let there = self
            .machine
            .read(|| format!("look for {name}"), |disk| Ok(disk.entry(self.id, name).is_some()))?;
        if !there {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Kind::Remove, || format!("remove {}", self.at(name)), |disk| disk.remove(self.id, name))
    }

    fn has(&self, name: &str) -> bool {
        self.machine.with(|state| state.disk.entry(self.id, name).is_some())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.machine.read(|| format!("list {}", self.path), |disk| Ok(disk.names(self.id)))
    }

    fn sync(&self) -> io::Result<()> {
        let id = self.id;
        self.machine.operate(
            Kind::Sync(None),
            || format!("sync folder {}/", self.path),
            // Names are in the journal: where it fails they wait on, or the file system is read-only.
            |_, _| (),
            move |disk| {
                disk.sync_folder(id);
                Ok(())
            },
        )
    }
}

impl SimulatedVolume {
    /// What goes past the cache goes in whole blocks.
    fn aligned(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.direct && !(Buffer::fits(bytes) && offset.is_multiple_of(BLOCK as u64)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }
}

impl Volume for SimulatedVolume {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.aligned(buffer, offset)?;
        let length = buffer.len();
        self.machine.read(
            || format!("read {} {offset}+{length}", self.path),
            |disk| {
                let from = offset as usize;
                let bytes = disk.file(self.id).shown().get(from..from + length);
                buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            },
        )
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.aligned(bytes, offset)?;
        let words = || format!("write {} {offset}+{}", self.path, bytes.len());
        if let Some(wrong) = self.machine.with(|state| state.forbidden(&self.path)) {
            self.machine.violate(wrong);
        }
        self.change(words, Change::Write(offset as usize, bytes.into()))
    }

    fn length(&self) -> io::Result<u64> {
        self.machine
            .read(|| format!("length of {}", self.path), |disk| Ok(disk.file(self.id).shown().len() as u64))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        // What is as long as that already is left alone.
        if self.machine.with(|state| state.disk.file(self.id).shown().len() as u64) == length {
            return Ok(());
        }
        self.change(|| format!("set length {} {length}", self.path), Change::Length(length as usize))
    }

    fn extend(&self, length: u64) -> io::Result<()> {
        if self.machine.with(|state| state.disk.file(self.id).shown().len() as u64) >= length {
            return Ok(());
        }
        self.change(|| format!("extend {} {length}", self.path), Change::Length(length as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let id = self.id;
        self.machine.operate(
            Kind::Sync(Some(id)),
            || format!("sync {}", self.path),
            move |disk, random| disk.file_mut(id).lose(random),
            move |disk| {
                disk.file_mut(id).sync();
                Ok(())
            },
        )
    }

    fn hint(&self, hint: Hint) {
        let kept = self.path.ends_with(".img") && self.machine.with(|state| state.world.cached);
        if hint == Hint::Forget && !kept {
            let id = self.id;
            self.machine.hint(|disk| disk.file_mut(id).forget());
        }
    }
}
