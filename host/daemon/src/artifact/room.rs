//! Room: who takes how much, who goes first, and what a full disk means.

use std::io;

use cap_std::fs::{Dir, MetadataExt};

use super::{ArtifactError, ArtifactStore, Books, Entry, Inner, Record, journal::Journal};
use crate::{
    disk,
    state::{STATE_ROOM, StateError},
};

/// Bytes that the store leaves free on its disk, which is that of the state too: its room, and as much again for what is
/// written down until the file has been used.
const SPARED: u64 = 2 * STATE_ROOM;

impl ArtifactStore {
    /// Sets `bytes` in all aside for a file on its way, collecting what nobody holds.
    ///
    /// If it cannot be enough nothing is collected at all.
    pub(super) fn reserve(&self, name: &str, bytes: u64) -> Result<(), ArtifactError> {
        let mut books = self.0.books();
        let fixed = books.fixed(name);
        if fixed.saturating_add(bytes) > self.0.limit {
            let available = self.0.limit.saturating_sub(fixed);
            return Err(ArtifactError::NoRoom { needed: bytes, available });
        }
        let own = books.partial.get(name).copied().unwrap_or(0);
        while books.usage().saturating_sub(own).saturating_add(bytes) > self.0.limit {
            if !self.0.collect_one(&mut books, name)? {
                break;
            }
        }
        books.partial.insert(name.to_owned(), bytes);
        Ok(())
    }

    /// Whether so many bytes more can be had at all, whatever is collected for them. Nothing is set aside or collected.
    ///
    /// # Errors
    /// [`ArtifactError::NoRoom`], with what could be had.
    pub fn check_room(&self, bytes: u64) -> Result<(), ArtifactError> {
        let books = self.0.books();
        let fixed = books.fixed("");
        let of_limit = self.0.limit.saturating_sub(fixed);
        let collectable = books.usage().saturating_sub(fixed);
        let of_disk = disk::available(&self.0.partial).map_err(ArtifactError::io("ask for the room"))?;
        let of_disk = of_disk.saturating_add(collectable).saturating_sub(SPARED);
        let available = of_limit.min(of_disk);
        if bytes > available { Err(ArtifactError::NoRoom { needed: bytes, available }) } else { Ok(()) }
    }

    /// Collects what nobody holds until so many bytes are free on the disk, or nothing is left to collect.
    pub fn make_room(&self, bytes: u64) -> Result<(), ArtifactError> {
        let mut books = self.0.books();
        let short = || disk::available(&self.0.partial).map(|free| free < bytes);
        while short().map_err(ArtifactError::io("ask for the room"))? && self.0.collect_one(&mut books, "")? {
        }
        Ok(())
    }

    /// Does something that takes `needed` bytes of disk, of which the file has taken none yet; while they cannot be had,
    /// collects and tries again. What the state needs to be written down is left free.
    pub(super) fn retry_with_room(
        &self,
        needed: u64,
        mut attempt: impl FnMut() -> io::Result<()>,
    ) -> Result<(), ArtifactError> {
        loop {
            let least = needed.saturating_add(SPARED);
            // Where the disk does not say it is asked by trying.
            let short = needed > 0 && disk::available(&self.0.partial).is_ok_and(|free| free < least);
            let done = if short { Err(io::ErrorKind::StorageFull.into()) } else { attempt() };
            match done {
                Ok(()) => return Ok(()),
                Err(error) if disk::is_full(&error) => {
                    let mut books = self.0.books();
                    if !self.0.collect_one(&mut books, "")? {
                        return Err(ArtifactError::NoRoom {
                            needed,
                            available: disk::available(&self.0.partial)
                                .unwrap_or_default()
                                .saturating_sub(SPARED),
                        });
                    }
                }
                Err(error) => return Err(ArtifactError::io("write a partial file")(error)),
            }
        }
    }

    /// Takes over a finished file from `partial/`: record, new name, both durable, then the journal goes.
    pub(super) fn adopt(&self, name: &str, size: u64, record: Record) -> Result<(), ArtifactError> {
        let store = &self.0;
        let whole = record.digest.file_name();
        store.records.write(&whole, &record)?;
        store
            .partial
            .rename(name, &store.whole, &whole)
            .and_then(|()| disk::sync_directory(&store.whole))
            .and_then(|()| disk::sync_directory(&store.partial))
            .map_err(ArtifactError::io("rename a whole file"))?;
        store.journal.remove(name)?;
        let mut books = store.books();
        let used = books.tick();
        books.partial.remove(name);
        books.whole.insert(record.digest.clone(), Entry { size, used, record, held: Default::default() });
        Ok(())
    }

    /// If the file is here already, notes where it came from this time. Whether it is here.
    pub(super) fn refresh(&self, record: &Record) -> Result<bool, ArtifactError> {
        let mut books = self.0.books();
        let Some(entry) = books.whole.get_mut(&record.digest) else { return Ok(false) };
        entry.record = record.clone();
        self.0.records.write(&record.digest.file_name(), record)?;
        Ok(true)
    }
}

impl Books {
    /// What cannot be collected, but for the file on its way with this name.
    fn fixed(&self, name: &str) -> u64 {
        let held = self.whole.values().filter(|entry| entry.held.strong_count() > 0).map(|entry| entry.size);
        let busy = self.partial.iter().filter(|(other, _)| *other != name && self.busy.contains(*other));
        held.chain(busy.map(|(_, bytes)| *bytes)).fold(0, u64::saturating_add)
    }
}

impl Inner {
    /// Removes the file that will be missed least: a whole one not used for longest, else an idle partial one.
    fn collect_one(&self, books: &mut Books, except: &str) -> Result<bool, ArtifactError> {
        let unheld = books.whole.values().filter(|entry| entry.held.strong_count() == 0);
        if let Some(entry) = unheld.min_by_key(|entry| entry.used) {
            let digest = entry.record.digest.clone();
            tracing::info!(%digest, bytes = entry.size, "collecting a file that nobody holds");
            let name = digest.file_name();
            remove(&self.whole, &name)?;
            self.records.remove(&name)?;
            books.whole.remove(&digest);
            return Ok(true);
        }
        let idle = books.partial.keys().find(|name| *name != except && !books.busy.contains(*name)).cloned();
        let Some(name) = idle else { return Ok(false) };
        tracing::info!(file = name, "collecting a download that nobody goes on with");
        self.journal.remove(&name)?;
        remove(&self.partial, &name)?;
        books.partial.remove(&name);
        Ok(true)
    }

    /// Looks at what an earlier process left, and removes what does not belong together or cannot be read: it can be
    /// fetched again. What cannot even be removed stays, and only takes room.
    pub(super) fn take_stock(&self) -> Result<Books, ArtifactError> {
        let mut books = Books::default();
        let mut found = Vec::new();
        for (name, _, used) in files(&self.whole)? {
            match self.records.read::<Record>(&name) {
                Ok(Some(record)) if record.digest.file_name() == name => found.push((used, record)),
                read => stray(&name, read.err(), remove(&self.whole, &name)),
            }
        }
        found.sort_by_key(|(used, _)| *used);
        for (_, record) in found {
            let metadata = self.whole.metadata(record.digest.file_name());
            let size = metadata.map_err(ArtifactError::io("look at a file"))?.len();
            let used = books.tick();
            books.whole.insert(record.digest.clone(), Entry { size, used, record, held: Default::default() });
        }
        for name in self.records.names()? {
            if !books.whole.values().any(|entry| entry.record.digest.file_name() == name) {
                stray(&name, None, self.records.remove(&name).map_err(ArtifactError::from));
            }
        }
        for (name, size, _) in files(&self.partial)? {
            match self.journal.read::<Journal>(&name) {
                Ok(Some(_)) => {
                    books.partial.insert(name, size);
                }
                read => stray(&name, read.err(), remove(&self.partial, &name)),
            }
        }
        for name in self.journal.names()? {
            if !books.partial.contains_key(&name) {
                stray(&name, None, self.journal.remove(&name).map_err(ArtifactError::from));
            }
        }
        Ok(books)
    }
}

/// Name, bytes on the disk, and time of last use of each file.
fn files(dir: &Dir) -> Result<Vec<(String, u64, i64)>, ArtifactError> {
    let mut files = Vec::new();
    for entry in dir.entries().map_err(ArtifactError::io("list files"))? {
        let entry = entry.map_err(ArtifactError::io("list files"))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = entry.metadata().map_err(ArtifactError::io("look at a file"))?;
        files.push((name, metadata.len(), metadata.mtime()));
    }
    Ok(files)
}

/// Tells of what was removed because it could not be read, and of what could not be removed.
fn stray(file: &str, unread: Option<StateError>, removed: Result<(), ArtifactError>) {
    if let Some(error) = unread {
        tracing::error!(%error, file, "a download's record cannot be read; going on without the download");
    }
    if let Err(error) = removed {
        tracing::error!(%error, file, "what does not belong into the artifact store stays there");
    }
}

fn remove(dir: &Dir, name: &str) -> Result<(), ArtifactError> {
    match dir.remove_file(name) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ArtifactError::io("remove a file")(error)),
    }
}
