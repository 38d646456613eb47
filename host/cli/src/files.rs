//! Files that appear whole or not at all.
//!
//! Written beside their place, synced, renamed; the directory is synced after, without which the name itself may be
//! lost in a power cut.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::failure::{Exit, Failure};

/// Everybody may read.
pub(crate) const READABLE: u32 = 0o644;
/// The owner alone may read: keys.
pub(crate) const SECRET: u32 = 0o600;

/// Puts a file in its place, in place of an older one; makes the directories above it.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let mut draft = Draft::begin(path, mode)?;
    draft.write(bytes)?;
    draft.place()
}

/// A file on its way, beside its place. Gone when it is dropped.
pub(crate) struct Draft {
    path: PathBuf,
    mode: u32,
    file: NamedTempFile,
}

impl Draft {
    /// Begins a file; makes the directories above it.
    pub(crate) fn begin(path: &Path, mode: u32) -> Result<Self, Failure> {
        let begun = fs::create_dir_all(parent(path)).and_then(|()| {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".hotshoe-").permissions(Permissions::from_mode(mode)).tempfile_in(parent(path))
        });
        let file = begun.map_err(|error| failure(path, &error))?;
        Ok(Draft { path: path.to_owned(), mode, file })
    }

    /// Writes what comes next.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| failure(&self.path, &error))
    }

    /// Puts it in its place, durable when this returns.
    pub(crate) fn place(self) -> Result<(), Failure> {
        let Draft { path, mode, file } = self;
        let placed = || -> io::Result<()> {
            file.as_file().sync_all()?;
            // The umask may have taken from what was asked for.
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(parent(&path))?.sync_all()
        };
        placed().map_err(|error| failure(&path, &error))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::CantCreate, format!("could not write {}: {error}", path.display()))
}
