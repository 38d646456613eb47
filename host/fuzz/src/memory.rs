//! A folder in memory: the device's real code on a disk that never fails and costs nothing.
//!
//! The simulator's disk can be cut, so it remembers every operation; here only content matters, millions of times.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hotshoed::disk::{Folder, Hint, Open, Volume};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A folder. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryFolder(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    volumes: BTreeMap<String, Bytes>,
    folders: BTreeMap<String, MemoryFolder>,
}

#[derive(Debug)]
struct MemoryVolume(Bytes);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFolder {
    /// Puts a file there, whatever was there before.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        locked(&self.0).volumes.insert(name.to_owned(), Arc::new(Mutex::new(bytes.to_vec())));
    }

    /// A file's bytes.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        locked(&self.0).volumes.get(name).map(|bytes| locked(bytes).clone())
    }

    /// Removes all files.
    pub fn clear(&self) {
        locked(&self.0).volumes.clear();
    }

    /// The folder of that name in this one.
    pub fn inner(&self, name: &str) -> MemoryFolder {
        locked(&self.0).folders.entry(name.to_owned()).or_default().clone()
    }
}

impl Folder for MemoryFolder {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        let volumes = &mut locked(&self.0).volumes;
        let bytes = match how {
            Open::Direct => return Err(io::ErrorKind::InvalidInput.into()),
            Open::Reading | Open::Existing => volumes.get(name).ok_or(io::ErrorKind::NotFound)?,
            Open::Create => volumes.entry(name.to_owned()).or_default(),
            Open::Truncate => {
                volumes.insert(name.to_owned(), Bytes::default());
                volumes.get(name).ok_or(io::ErrorKind::NotFound)?
            }
        };
        Ok(Box::new(MemoryVolume(Arc::clone(bytes))))
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        Ok(Arc::new(self.inner(name)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let volumes = &mut locked(&self.0).volumes;
        let moved = volumes.remove(from).ok_or(io::ErrorKind::NotFound)?;
        volumes.insert(to.to_owned(), moved);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        locked(&self.0).volumes.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn has(&self, name: &str) -> bool {
        let entries = locked(&self.0);
        entries.volumes.contains_key(name) || entries.folders.contains_key(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.0).volumes.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Volume for MemoryVolume {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = locked(&self.0);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let to = from.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut held = locked(&self.0);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let to = from.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        if held.len() < to {
            held.resize(to, 0);
        }
        held[from..to].copy_from_slice(bytes);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        locked(&self.0).resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn extend(&self, length: u64) -> io::Result<()> {
        if self.length()? < length {
            self.set_length(length)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn hint(&self, _: Hint) {}
}
