//! Block devices: each opened for writing by one process at a time, and by none while it is mounted.
//!
//! The kernel does that for `O_EXCL` without `O_CREAT` on a block device (open(2)). Openings by this process, as of a
//! staging that takes over from an earlier one, share one such claim, which ends with the last of them.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::{Folder, Hint, Open, Volume};

/// The directory of one device, as a folder that opens what is there and makes, renames and removes nothing.
#[derive(Debug)]
pub struct Device {
    directory: Dir,
    /// Open exclusively for as long as anything is open for writing.
    claim: Mutex<Weak<File>>,
}

impl Device {
    /// A device in this directory.
    pub fn new(directory: Dir) -> Self {
        Self { directory, claim: Mutex::default() }
    }
}

impl Folder for Device {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        let mut options = OpenOptions::new();
        options.read(true);
        if how == Open::Reading {
            let file = self.directory.open_with(name, &options)?.into_std();
            return Ok(Box::new(Claimed { file, _claim: None }));
        }
        options.write(true);
        let mut known = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = match known.upgrade() {
            Some(claim) => claim,
            None => {
                let mut exclusive = options.clone();
                exclusive.custom_flags(i32::try_from(OFlags::EXCL.bits()).map_err(io::Error::other)?);
                Arc::new(self.directory.open_with(name, &exclusive)?.into_std())
            }
        };
        *known = Arc::downgrade(&claim);
        if how == Open::Direct {
            options.custom_flags(OFlags::DIRECT.bits().cast_signed());
        }
        let file = self.directory.open_with(name, &options)?.into_std();
        Ok(Box::new(Claimed { file, _claim: Some(claim) }))
    }

    fn folder(&self, _: &str) -> io::Result<Arc<dyn Folder>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn has(&self, name: &str) -> bool {
        Folder::has(&self.directory, name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An open device, with the claim on it.
#[derive(Debug)]
struct Claimed {
    file: File,
    _claim: Option<Arc<File>>,
}

impl Volume for Claimed {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        Volume::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        Volume::write_at(&self.file, bytes, offset)
    }

    /// The metadata of a device know none.
    fn length(&self) -> io::Result<u64> {
        (&self.file).seek(SeekFrom::End(0))
    }

    fn set_length(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn extend(&self, length: u64) -> io::Result<()> {
        if length <= self.length()? { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&self) -> io::Result<()> {
        Volume::sync(&self.file)
    }

    fn hint(&self, hint: Hint) {
        self.file.hint(hint);
    }
}
