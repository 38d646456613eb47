//! A folder in memory: where a device of a fleet keeps its state, for as long as the fleet lives.
//!
//! What is written is there at once and for ever; syncs do nothing. For power cuts see [`crate::disk`].

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hotshoed::disk::{Folder, Hint, Open, Volume};

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A folder and what is in it.
#[derive(Default, Debug)]
pub struct Memory {
    files: Mutex<BTreeMap<String, Bytes>>,
    folders: Mutex<BTreeMap<String, Arc<Memory>>>,
}

#[derive(Debug)]
struct File(Bytes);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder for Memory {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        let mut files = lock(&self.files);
        let bytes = match files.get(name) {
            Some(bytes) => Arc::clone(bytes),
            None if matches!(how, Open::Create | Open::Truncate) => {
                Arc::clone(files.entry(name.to_owned()).or_default())
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        if how == Open::Truncate {
            *lock(&bytes) = Vec::new();
        }
        Ok(Box::new(File(bytes)))
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        let folder = Arc::clone(lock(&self.folders).entry(name.to_owned()).or_default());
        Ok(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn has(&self, name: &str) -> bool {
        lock(&self.files).contains_key(name) || lock(&self.folders).contains_key(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.files).keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl Volume for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (bytes, from) = (lock(&self.0), place(offset)?);
        let wanted = bytes.get(from..from.saturating_add(buffer.len()));
        buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let (mut bytes, from) = (lock(&self.0), place(offset)?);
        let end = from.saturating_add(new.len());
        if bytes.len() < end {
            let more = end - bytes.len();
            bytes.reserve_exact(more);
            bytes.resize(end, 0);
        }
        bytes.get_mut(from..end).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(new);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        lock(&self.0).resize(place(length)?, 0);
        Ok(())
    }

    fn extend(&self, length: u64) -> io::Result<()> {
        if self.length()? < length { self.set_length(length) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn hint(&self, _: Hint) {}
}

#[cfg(test)]
mod tests {
    use hotshoed::state::StateDir;

    use super::*;

    #[test]
    fn state_is_kept_like_on_a_disk() {
        let folder: Arc<dyn Folder> = Arc::new(Memory::default());
        let state = StateDir::of(Arc::clone(&folder)).subdirectory("hub").unwrap();
        state.write("outbox", &"first, and long").unwrap();
        state.write("outbox", &"second").unwrap();
        let again = StateDir::of(folder).subdirectory("hub").unwrap();
        assert_eq!(again.read::<String>("outbox").unwrap().as_deref(), Some("second"));
        assert_eq!(again.names().unwrap(), ["outbox"]);
        again.remove("outbox").unwrap();
        assert_eq!(again.read::<String>("outbox").unwrap(), None);
    }
}
