//! The artifact store: whole, verified files by their digest, and the beginnings of files on their way.
//!
//! Promise: a file named by a digest is whole and was hashed before it got that name; it stays as long as somebody
//! holds its [`Artifact`]. A download that broke off, by `kill -9` or a power cut too, goes on where the bytes that
//! are known to be on the disk end. The store never takes more than its limit, nor the room that the device's state needs
//! on the same disk, and a full disk is an error ([`ArtifactError::NoRoom`]), not an accident. Nobody holds a file? Then
//! it goes, least recently used first, once another one, or the state, needs the room.
//!
//! Why content-addressed: asking twice is asking once, a plugin may run again from its checkpoint without fetching
//! again, and two URLs of one image are one file.
//!
//! On the disk: `whole/<digest>`, `records/<digest>` (where it came from), `partial/<key>`, `journal/<key>`.
//! It does not fetch (that is `fetch/`), and it does not look for bit rot in files at rest: `flash` compares the
//! digest once more when it seals.

mod error;
mod flusher;
mod handle;
mod journal;
mod partial;
mod room;

pub mod hash;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use cap_std::fs::Dir;
use hotshoe_core::digest::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{disk, state::StateDir};

pub use error::ArtifactError;
pub use handle::Artifact;
pub use journal::{Key, Origin, Validator};
pub use partial::Partial;

/// Who says that these are the right bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouched {
    /// Nobody: they are what the server sent.
    Nobody,
    /// The digest beside the file on its server, `<url>.sha256`.
    Sidecar,
    /// The digest in the request.
    Request,
    /// A signed target of a repository.
    Signed,
}

/// What is remembered about a whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    digest: Digest,
    /// The URL it came from, after redirects.
    origin: String,
    vouched: Vouched,
    /// The URL that was asked for and what its server called this version, to ask whether it is still the same.
    source: Option<Origin>,
}

/// A store on a directory. Cheap to clone. One process at a time; its calls block on the disk.
#[derive(Clone, Debug)]
pub struct ArtifactStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    whole: Dir,
    records: StateDir,
    partial: Dir,
    journal: StateDir,
    limit: u64,
    books: Mutex<Books>,
    released: Arc<Notify>,
}

/// What the store knows without asking the disk.
#[derive(Debug, Default)]
struct Books {
    whole: HashMap<Digest, Entry>,
    /// Room set aside for each file on its way, in bytes.
    partial: HashMap<String, u64>,
    /// Files on their way that somebody writes to.
    busy: HashSet<String>,
    /// Grows with each use.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    used: u64,
    record: Record,
    held: Weak<handle::Held>,
}

impl ArtifactStore {
    /// Opens the store on a directory of its own, holding at most `limit` bytes of files.
    ///
    /// What does not belong together (a record without its file, a file without a digest for a name) is removed.
    pub fn open(dir: Dir, limit: u64) -> Result<Self, ArtifactError> {
        let folder =
            |name: &str| disk::subdirectory(&dir, name).map_err(ArtifactError::io("open a directory"));
        let inner = Inner {
            whole: folder("whole")?,
            records: StateDir::new(folder("records")?),
            partial: folder("partial")?,
            journal: StateDir::new(folder("journal")?),
            limit,
            books: Mutex::default(),
            released: Arc::default(),
        };
        let books = inner.take_stock()?;
        *inner.books() = books;
        Ok(Self(Arc::new(inner)))
    }

    /// The whole file with this digest, if it is here. Counts as a use.
    pub fn find(&self, digest: &Digest) -> Result<Option<Artifact>, ArtifactError> {
        let mut books = self.0.books();
        let used = books.tick();
        let Some(entry) = books.whole.get_mut(digest) else { return Ok(None) };
        entry.used = used;
        if let Some(held) = entry.held.upgrade() {
            return Ok(Some(Artifact::new(held, entry.record.vouched)));
        }
        let name = digest.file_name();
        let file = match self.0.whole.open(&name) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(file = name, "a file vanished from the artifact store");
                books.whole.remove(digest);
                return Ok(None);
            }
            Err(error) => return Err(ArtifactError::io("open a file")(error)),
        };
        // The order of use survives a restart as the files' times; it only decides who is collected first.
        disk::touch(&file);
        let held = Arc::new(handle::Held::new(digest.clone(), entry.size, entry.record.origin.clone(), file));
        entry.held = Arc::downgrade(&held);
        Ok(Some(Artifact::new(held, entry.record.vouched)))
    }

    /// The newest whole file that came from this URL without a digest asked for, and what its server called it.
    pub fn find_by_url(&self, url: &str) -> Option<(Digest, Validator)> {
        let books = self.0.books();
        let from = |entry: &Entry| entry.record.source.as_ref().is_some_and(|source| source.url == url);
        let entry = books.whole.values().filter(|entry| from(entry)).max_by_key(|entry| entry.used)?;
        let validator = entry.record.source.as_ref()?.validator.clone()?;
        Some((entry.record.digest.clone(), validator))
    }

    /// Opens the file on its way under this key: what is known to be on the disk of an earlier attempt, or nothing.
    ///
    /// `None` if another attempt at the same key is writing. Reads what there is once, to hash it.
    pub fn partial(&self, key: &Key) -> Result<Option<Partial>, ArtifactError> {
        if !self.0.books().busy.insert(key.name().to_owned()) {
            return Ok(None);
        }
        let claim = partial::Claim::new(self.clone(), key.name());
        Partial::open(claim, key).map(Some)
    }

    /// Ends when some file on its way is let go of after this call.
    pub(crate) fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut released = Box::pin(Arc::clone(&self.0.released).notified_owned());
        released.as_mut().enable();
        released
    }

    /// Bytes the store takes: whole files, and room set aside for files on their way.
    pub fn usage(&self) -> u64 {
        self.0.books().usage()
    }

    /// The most it may take, in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn usage(&self) -> u64 {
        let whole = self.whole.values().map(|entry| entry.size);
        whole.chain(self.partial.values().copied()).fold(0, u64::saturating_add)
    }

    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }
}

#[cfg(test)]
mod tests;
