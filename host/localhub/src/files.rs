//! Writing the few small files beside the database: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file by way of a temporary one, flushed and renamed, with the given mode from the first byte on.
pub(crate) fn write(file: &Path, contents: &[u8], mode: u32) -> Result<(), (PathBuf, io::Error)> {
    replace(file, contents, mode).map_err(|error| (file.to_owned(), error))
}

fn replace(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let temporary = file.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    open.write_all(contents)?;
    open.sync_all()?;
    fs::rename(&temporary, file)?;
    match file.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
