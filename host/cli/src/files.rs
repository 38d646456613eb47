//! Files that appear whole or not at all.
//!
//! Written beside their place, synced, renamed; the directory is synced after, without which the name itself may be
//! lost in a power cut.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::failure::{Exit, Failure};

/// Everybody may read.
pub(crate) const READABLE: u32 = 0o644;
/// The owner alone may read: keys.
pub(crate) const SECRET: u32 = 0o600;

/// Puts a file in its place, in place of an older one; makes the directories above it.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    write(path, mode, |file| file.write_all(bytes)).map_err(|error| failure(path, &error))
}

/// Puts a copy of a file in its place.
pub(crate) fn copy(from: &Path, path: &Path) -> Result<(), Failure> {
    let mut source = File::open(from).map_err(|error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", from.display()))
    })?;
    write(path, READABLE, |file| io::copy(&mut source, file).map(|_| ()))
        .map_err(|error| failure(path, &error))
}

fn write(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut builder = tempfile::Builder::new();
    let mut file =
        builder.prefix(".hotshoe-").permissions(Permissions::from_mode(mode)).tempfile_in(parent)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    // The umask may have taken from what was asked for.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::CantCreate, format!("could not write {}: {error}", path.display()))
}
