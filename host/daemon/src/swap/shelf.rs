//! Components on the disk, each under its own digest: `sha256-<64 hex>.wasm`.
//!
//! What [`Shelf::put`] acknowledged is there after a power cut, whole: written beside its name, flushed, renamed, and the
//! directory flushed (`state` says why all four). What [`Shelf::read`] returns has the digest that was asked for, whatever
//! became of the file in the meantime. Nothing here says which component is live: that is the record's.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions};
use hotshoe_core::digest::{Algorithm, Digest};

use crate::artifact::hash::Hasher;
use crate::disk;

const EXTENSION: &str = ".wasm";
const TEMPORARY: &str = ".new";
/// The largest file that is read; more than the engine takes.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// The shelf. Cheap to clone. Calls block on the disk.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: Arc<Dir>,
}

/// The SHA-256 of some bytes.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

fn file_name(digest: &Digest) -> String {
    format!("{}{EXTENSION}", digest.file_name())
}

impl Shelf {
    /// Takes over a directory.
    pub fn new(dir: Dir) -> Shelf {
        Shelf { dir: Arc::new(dir) }
    }

    /// Keeps a component. Durable when it returns; of one that is there only the name is made so, which an earlier
    /// attempt may not have come to.
    ///
    /// # Errors
    /// The disk refused; the component is then not there, or whole.
    pub fn put(&self, digest: &Digest, component: &[u8]) -> io::Result<()> {
        if self.read(digest)?.is_some() {
            return disk::sync_directory(&self.dir);
        }
        let name = file_name(digest);
        let temporary = format!("{name}{TEMPORARY}");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let written = self.dir.open_with(&temporary, &options).and_then(|mut file| {
            file.write_all(component)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // The pages of a failed flush are lost: this file is worth nothing, now or later.
            let _ = self.dir.remove_file(&temporary);
            return Err(error);
        }
        self.dir.rename(&temporary, &self.dir, &name)?;
        disk::sync_directory(&self.dir)
    }

    /// The component with this digest; `None` where there is none, or a damaged one, which is then removed.
    ///
    /// # Errors
    /// The disk refused.
    pub fn read(&self, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
        let name = file_name(digest);
        let file = match self.dir.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_LIMIT).read_to_end(&mut bytes)?;
        if digest_of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        tracing::error!(file = name, "a plugin's component is damaged on the disk; it is removed");
        self.dir.remove_file(&name)?;
        Ok(None)
    }

    /// Removes all components but these, and what a power cut left of others. What cannot be removed stays until the
    /// next time.
    pub fn collect(&self, needed: &BTreeSet<Digest>) {
        let names: BTreeSet<String> = needed.iter().map(file_name).collect();
        let Ok(entries) = self.dir.entries() else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if names.contains(&name) {
                continue;
            }
            match self.dir.remove_file(&name) {
                Ok(()) => tracing::debug!(file = name, "a component that nothing needs was removed"),
                Err(error) => tracing::warn!(file = name, %error, "a component that nothing needs stays"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, Shelf::new(dir))
    }

    #[test]
    fn what_was_put_is_read_and_what_nothing_needs_goes() {
        let (folder, shelf) = shelf();
        let (one, two) = (digest_of(b"one"), digest_of(b"two"));
        assert_eq!(shelf.read(&one).unwrap(), None);
        shelf.put(&one, b"one").unwrap();
        shelf.put(&one, b"one").unwrap();
        shelf.put(&two, b"two").unwrap();
        std::fs::write(folder.path().join("sha256-half.wasm.new"), b"tw").unwrap();
        shelf.collect(&BTreeSet::from([two.clone()]));
        assert_eq!(shelf.read(&one).unwrap(), None);
        assert_eq!(shelf.read(&two).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_component_is_none_and_can_be_put_again() {
        let (folder, shelf) = shelf();
        let one = digest_of(b"one");
        shelf.put(&one, b"one").unwrap();
        std::fs::write(folder.path().join(file_name(&one)), b"onf").unwrap();
        assert_eq!(shelf.read(&one).unwrap(), None);
        shelf.put(&one, b"one").unwrap();
        assert_eq!(shelf.read(&one).unwrap().as_deref(), Some(&b"one"[..]));
    }
}
