//! For tests: a directory that refuses what it is told to refuse.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cap_std::fs::Dir;

use super::{Folder, Open, Volume};

/// What is refused. Nothing, as it is made.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// How many syncs are still to fail.
    pub(crate) syncs: AtomicUsize,
    /// How many removals are still to fail.
    pub(crate) removals: AtomicUsize,
    /// How many syncs went well.
    pub(crate) synced: AtomicUsize,
    unreadable: Mutex<BTreeSet<String>>,
}

impl Refusals {
    /// What has this name stands on a bad sector.
    pub(crate) fn make_unreadable(&self, name: &str) {
        self.unreadable.lock().unwrap().insert(name.to_owned());
    }
}

/// The directory, and all that are in it.
#[derive(Debug)]
pub(crate) struct Refusing {
    folder: Arc<dyn Folder>,
    refusals: Arc<Refusals>,
}

impl Refusing {
    pub(crate) fn new(dir: Dir, refusals: Arc<Refusals>) -> Refusing {
        Refusing { folder: Arc::new(dir), refusals }
    }
}

/// An error while some are left.
fn refuse(left: &AtomicUsize) -> io::Result<()> {
    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        Ok(_) => Err(broken()),
        Err(_) => Ok(()),
    }
}

/// `EIO`
fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Folder for Refusing {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        match self.refusals.unreadable.lock().unwrap().contains(name) {
            true => Err(broken()),
            false => self.folder.open(name, how),
        }
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        let folder = self.folder.folder(name)?;
        Ok(Arc::new(Refusing { folder, refusals: Arc::clone(&self.refusals) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        refuse(&self.refusals.removals)?;
        self.folder.remove(name)
    }

    fn has(&self, name: &str) -> bool {
        self.folder.has(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.folder.names()
    }

    fn sync(&self) -> io::Result<()> {
        refuse(&self.refusals.syncs)?;
        self.refusals.synced.fetch_add(1, Ordering::Relaxed);
        self.folder.sync()
    }
}
