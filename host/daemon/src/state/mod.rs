//! Durable files: everything the device must remember over a power cut goes through [`StateDir`].
//!
//! Promise: what [`StateDir::write`] acknowledged is there after a power cut, whole; what it did not is there whole
//! or not at all. What [`StateDir::read`] returns is what was once written: anything else (torn, rotten, truncated,
//! of a newer version, somebody's scribble) is set aside as `name.corrupt-N` with an error in the log, and reads as
//! *missing*, so that the caller's safe default takes over. No content of a file makes it fail or panic.
//!
//! Why write, `fsync`, rename, `fsync` of the directory: measured on ext4, leaving out the last step loses half of
//! the acknowledged records in a power cut, leaving out the first tears them. An `fsync` that failed is never tried
//! again and believed: the kernel has dropped the pages and would answer that all is well.
//!
//! Why the directory is synced before the first read too: a process that was killed between its rename and its sync
//! leaves a value that is seen and that a power cut may still take back. Whoever acts on a value must be able to rely
//! on it. A sync that failed leaves the same behind, and the next read syncs first.
//!
//! It does not know what the values mean, and it does not cache: files are small and rare.

mod envelope;
mod error;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hotshoe_core::planted::{self, Bug};
use serde::{Serialize, de::DeserializeOwned};

use crate::disk::{self, Folder, Open};

pub use error::StateError;

/// Largest state file in bytes: a value that needs more belongs somewhere else.
pub const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// Bytes that must be free for records, journals and the twin. Who fills the disk with anything else leaves them.
pub const STATE_ROOM: u64 = 512 * 1024;

/// Longest name of a state file in bytes.
pub const NAME_LIMIT: usize = 160;

/// How many unreadable versions of one file are kept; the last one is replaced after that.
const SET_ASIDE_LIMIT: u32 = 8;

const TEMPORARY: &str = ".new";
const SET_ASIDE: &str = ".corrupt-";

/// A directory of durable values, each a file. Cheap to clone; clones share one lock for writing.
///
/// Calls block on the disk: in asynchronous code wrap them in `spawn_blocking`.
#[derive(Clone, Debug)]
pub struct StateDir {
    folder: Arc<dyn Folder>,
    writing: Arc<Mutex<()>>,
    /// Whether what an earlier process left has been made durable.
    settled: Arc<AtomicBool>,
}

impl StateDir {
    /// Takes over a directory. Only one `StateDir` (and its clones) may write to it.
    pub fn new(folder: impl Folder + 'static) -> Self {
        Self::of(Arc::new(folder))
    }

    /// Takes over a folder. Only one `StateDir` (and its clones) may write to it.
    pub fn of(folder: Arc<dyn Folder>) -> Self {
        Self { folder, writing: Arc::default(), settled: Arc::default() }
    }

    /// The directory of that name in this one, made if it is missing. Its lock is its own.
    pub fn subdirectory(&self, name: &str) -> Result<StateDir, StateError> {
        validate(name)?;
        let io = |source| StateError::Io { name: name.to_owned(), action: "make directory", source };
        Ok(Self::of(self.folder.folder(name).map_err(io)?))
    }

    /// Reads a value. `None` if it was never written, or if the file was no good and is now set aside.
    ///
    /// Errors: a bad name, or the disk refused; never the content.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        validate(name)?;
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        match envelope::open(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(reason) => {
                if planted::on(Bug::StateTornIsFatal) {
                    return Err(StateError::Name(name.to_owned()));
                }
                self.set_aside(name, &reason)?;
                Ok(None)
            }
        }
    }

    /// Writes a value. Durable when it returns; on an error the old value still stands, or the new one does, whole.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        validate(name)?;
        let bytes =
            envelope::seal(value).map_err(|source| StateError::Encode { name: name.to_owned(), source })?;
        let size = bytes.len() as u64;
        if size > FILE_LIMIT {
            return Err(StateError::TooLarge { name: name.to_owned(), size });
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.replace(name, &bytes);
        if planted::on(Bug::StateErrorSwallowed) {
            return Ok(());
        }
        written.map_err(|(action, source)| StateError::Io { name: name.to_owned(), action, source })
    }

    /// Removes a value. Durable when it returns; removing a missing one is well.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        validate(name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let io = |action| move |source| StateError::Io { name: name.to_owned(), action, source };
        match self.folder.remove(name) {
            Ok(()) if planted::on(Bug::StateRemovedUnsynced) => Ok(()),
            Ok(()) => self.sync().map_err(io("flush the directory of")),
            // Perhaps it is missing because it was removed a moment ago, and the sync after that failed or never came.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.settle_alone().map_err(io("flush the directory of"))
            }
            Err(error) => Err(io("remove")(error)),
        }
    }

    /// The names of the values, sorted. Temporaries, set-aside files and directories are not among them.
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let io = |source| StateError::Io { name: ".".to_owned(), action: "list", source };
        self.settle().map_err(io)?;
        let mut names = self.folder.names().map_err(io)?;
        names.retain(|name| validate(name).is_ok());
        names.sort();
        Ok(names)
    }

    /// The file's bytes; one more than the limit at most, so that a monster is noticed and not loaded.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let io = |source| StateError::Io { name: name.to_owned(), action: "read", source };
        self.settle().map_err(io)?;
        match self.folder.open(name, Open::Reading) {
            Ok(file) => disk::read_all(file.as_ref(), FILE_LIMIT).map(Some).map_err(io),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    /// Makes the names that an earlier process left durable. Their content is: it was flushed before the rename.
    fn settle(&self) -> io::Result<()> {
        if self.settled.load(Ordering::Acquire) {
            return Ok(());
        }
        // Else this could hide the failure of a write that goes on beside it.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle_alone()
    }

    /// The same for whoever holds the lock for writing.
    fn settle_alone(&self) -> io::Result<()> {
        if !self.settled.load(Ordering::Acquire) {
            self.folder.sync()?;
            self.settled.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let in_place = planted::on(Bug::StateInPlace);
        let temporary = if in_place { name.to_owned() } else { format!("{name}{TEMPORARY}") };
        let written = self.folder.open(&temporary, Open::Truncate).and_then(|file| {
            file.write_at(bytes, 0)?;
            if planted::on(Bug::StateRenameFirst) {
                self.folder.rename(&temporary, name)?;
            }
            match file.sync() {
                _ if planted::on(Bug::StateWithoutSync) => Ok(()),
                Err(_) if planted::on(Bug::StateSyncTriedAgain) => file.sync(),
                synced => synced,
            }
        });
        if let Err(error) = written {
            // The pages of a failed flush are lost: this file is worth nothing, now or later.
            let _ = self.folder.remove(&temporary);
            return Err(("write", error));
        }
        if !in_place && !planted::on(Bug::StateRenameFirst) {
            self.folder.rename(&temporary, name).map_err(|error| ("rename", error))?;
        }
        if planted::on(Bug::StateWithoutFolderSync) {
            return Ok(());
        }
        self.sync().map_err(|error| ("flush the directory of", error))
    }

    /// Makes a changed name durable. Where that fails the change is seen, and a power cut may take it back: nobody
    /// reads it before a later sync has gone well.
    fn sync(&self) -> io::Result<()> {
        let synced = self.folder.sync();
        if synced.is_err() {
            self.settled.store(false, Ordering::Release);
        }
        synced
    }

    fn set_aside(&self, name: &str, reason: &envelope::Unreadable) -> Result<(), StateError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = (1..SET_ASIDE_LIMIT)
            .map(|number| format!("{name}{SET_ASIDE}{number}"))
            .find(|aside| !self.folder.has(aside))
            .unwrap_or_else(|| format!("{name}{SET_ASIDE}{SET_ASIDE_LIMIT}"));
        tracing::error!(file = name, kept_as = aside, %reason, "state file is not readable; going on without it");
        self.folder.rename(name, &aside).and_then(|()| self.sync()).map_err(|source| StateError::Io {
            name: name.to_owned(),
            action: "set aside",
            source,
        })
    }
}

fn validate(name: &str) -> Result<(), StateError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let valid = !name.is_empty()
        && name.len() <= NAME_LIMIT
        && name.bytes().all(fits)
        && !name.starts_with('.')
        && !name.ends_with(TEMPORARY)
        && !name.contains(SET_ASIDE);
    if valid { Ok(()) } else { Err(StateError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests;
