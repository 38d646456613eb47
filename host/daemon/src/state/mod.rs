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
//! It does not know what the values mean, and it does not cache: files are small and rare.

mod envelope;
mod error;

pub mod disk;

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use cap_std::fs::{Dir, OpenOptions};
use serde::{Serialize, de::DeserializeOwned};

pub use error::StateError;

/// Largest state file in bytes: a value that needs more belongs somewhere else.
pub const FILE_LIMIT: u64 = 16 * 1024 * 1024;

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
    dir: Arc<Dir>,
    writing: Arc<Mutex<()>>,
}

impl StateDir {
    /// Takes over a directory. Only one `StateDir` (and its clones) may write to it.
    pub fn new(dir: Dir) -> Self {
        Self { dir: Arc::new(dir), writing: Arc::default() }
    }

    /// The directory of that name in this one, made if it is missing. Its lock is its own.
    pub fn subdirectory(&self, name: &str) -> Result<StateDir, StateError> {
        validate(name)?;
        let io = |action| move |source| StateError::Io { name: name.to_owned(), action, source };
        match self.dir.create_dir(name) {
            Ok(()) => disk::sync_directory(&self.dir).map_err(io("flush the directory of"))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("make directory")(error)),
        }
        Ok(Self::new(self.dir.open_dir(name).map_err(io("open directory"))?))
    }

    /// The directory itself, for files that are not state (images, sockets).
    pub fn dir(&self) -> &Dir {
        &self.dir
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
        self.replace(name, &bytes).map_err(|(action, source)| StateError::Io {
            name: name.to_owned(),
            action,
            source,
        })
    }

    /// Removes a value. Durable when it returns; removing a missing one is well.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        validate(name)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let io = |action| move |source| StateError::Io { name: name.to_owned(), action, source };
        match self.dir.remove_file(name) {
            Ok(()) => disk::sync_directory(&self.dir).map_err(io("flush the directory of")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("remove")(error)),
        }
    }

    /// The names of the values, sorted. Temporaries, set-aside files and directories are not among them.
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let io = |source| StateError::Io { name: ".".to_owned(), action: "list", source };
        let mut names = Vec::new();
        for entry in self.dir.entries().map_err(io)? {
            let entry = entry.map_err(io)?;
            if !entry.file_type().map_err(io)?.is_file() {
                continue;
            }
            if let Ok(name) = entry.file_name().into_string()
                && validate(&name).is_ok()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The file's bytes; one more than the limit at most, so that a monster is noticed and not loaded.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let io = |source| StateError::Io { name: name.to_owned(), action: "read", source };
        let file = match self.dir.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
        Ok(Some(bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let temporary = format!("{name}{TEMPORARY}");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let written = self.dir.open_with(&temporary, &options).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // The pages of a failed flush are lost: this file is worth nothing, now or later.
            let _ = self.dir.remove_file(&temporary);
            return Err(("write", error));
        }
        self.dir.rename(&temporary, &self.dir, name).map_err(|error| ("rename", error))?;
        disk::sync_directory(&self.dir).map_err(|error| ("flush the directory of", error))
    }

    fn set_aside(&self, name: &str, reason: &envelope::Unreadable) -> Result<(), StateError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = (1..SET_ASIDE_LIMIT)
            .map(|number| format!("{name}{SET_ASIDE}{number}"))
            .find(|aside| self.dir.symlink_metadata(aside).is_err())
            .unwrap_or_else(|| format!("{name}{SET_ASIDE}{SET_ASIDE_LIMIT}"));
        tracing::error!(file = name, kept_as = aside, %reason, "state file is not readable; going on without it");
        self.dir
            .rename(name, &self.dir, &aside)
            .and_then(|()| disk::sync_directory(&self.dir))
            .map_err(|source| StateError::Io { name: name.to_owned(), action: "set aside", source })
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
