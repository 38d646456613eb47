//! Compiled code on the disk, so that a start does not compile.
//!
//! A file here becomes native code of the device process, so it is believed only when it carries a seal made with
//! this device's own key over the build of the engine, the machine, the component's digest and the code. A flipped
//! bit, a file of another device, another engine or another plugin, a link, a directory: all of it reads as *not
//! there*, and the plugin is compiled anew. Nothing in this directory can make a start fail.
//!
//! What it does not do: keep out somebody who may write as the host itself, and can read the key; such a one needs
//! no cache. Nor is it durable: what a power cut takes away is compiled again.
//!
//! Names are `<component's BLAKE3>-<engine and machine>`; `key` holds the key. What another engine left is removed at
//! the start, and of many files the oldest go: plugins come and go, and nobody would miss it until the disk is full.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::seal::{Key, SEAL};
use crate::disk::set_mode;

/// The largest compiled file, in bytes: a Python runtime takes 35 MB.
pub const CODE_LIMIT: u64 = 128 * 1024 * 1024;
/// How many compiled files are kept.
const FILES: usize = 64;
const KEY: &str = "key";
const TEMPORARY: &str = "new";

/// Code that this device has compiled itself.
pub(super) struct Sealed(Vec<u8>);

impl Sealed {
    /// The code, without its seal.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get(SEAL..).unwrap_or_default()
    }
}

/// The cache. Cheap to clone. Calls block on the disk.
#[derive(Clone)]
pub(super) struct Cache {
    dir: Arc<Dir>,
    key: Arc<Key>,
}

impl Cache {
    /// Opens the cache in a directory, which only the host may enter from then on, and makes the device's key where
    /// there is none.
    ///
    /// # Errors
    /// When the directory is not the host's own, or the key can be neither read nor made.
    pub(super) fn open(dir: Dir) -> io::Result<Cache> {
        set_mode(&dir, ".", 0o700)?;
        let key = match read_plain(&dir, KEY, 64)?.as_deref().and_then(Key::from_bytes) {
            Some(key) => key,
            None => {
                // Without its key no file here is worth anything, so a new key is as good as the old one.
                let key = Key::random().map_err(|_| io::Error::other("the system gives no random bytes"))?;
                replace(&dir, KEY, key.bytes())?;
                key
            }
        };
        let cache = Cache { dir: Arc::new(dir), key: Arc::new(key) };
        if let Err(error) = cache.prune() {
            tracing::warn!(%error, "old compiled code cannot be removed");
        }
        Ok(cache)
    }

    /// Removes what this engine will not load, and the oldest of what is too many.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in self.dir.entries()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == KEY || !entry.file_type()?.is_file() {
                continue;
            }
            if name.ends_with(&suffix()) {
                files.push((entry.metadata()?.modified()?, name));
            } else {
                self.dir.remove_file(name)?;
            }
        }
        files.sort_by(|(one, _), (other, _)| other.cmp(one));
        files.iter().skip(FILES).try_for_each(|(_, name)| self.dir.remove_file(name))
    }

    /// The code of a component, if it was compiled here by this engine for this machine.
    pub(super) fn find(&self, component: &blake3::Hash) -> Option<Sealed> {
        let name = file_name(component);
        let bytes = match read_plain(&self.dir, &name, CODE_LIMIT) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(%error, file = name, "compiled code cannot be read; compiling again");
                return None;
            }
        };
        if self.key.open(&subject(component), &bytes).is_some() {
            return Some(Sealed(bytes));
        }
        tracing::warn!(file = name, "compiled code does not carry this device's seal; compiling again");
        None
    }

    /// Keeps the code that the compiler has just made of a component.
    ///
    /// The code is good whether or not it could be kept: a full disk makes the next start slower, no more.
    pub(super) fn keep(&self, component: &blake3::Hash, code: &[u8]) -> Sealed {
        let mut bytes = Vec::with_capacity(code.len().saturating_add(SEAL));
        bytes.extend_from_slice(&self.key.seal(&subject(component), code));
        bytes.extend_from_slice(code);
        if let Err(error) = replace(&self.dir, &file_name(component), &bytes) {
            tracing::warn!(%error, "compiled code cannot be kept; the next start compiles again");
        }
        Sealed(bytes)
    }

    /// Forgets the code of a component that turned out not to load.
    pub(super) fn forget(&self, component: &blake3::Hash) {
        let _ = self.dir.remove_file(file_name(component));
    }
}

/// What a seal speaks of, beside the code: engine, machine, component.
fn subject(component: &blake3::Hash) -> String {
    format!("{}\n{}", machine(), component.to_hex())
}

fn machine() -> String {
    let (architecture, system) = (std::env::consts::ARCH, std::env::consts::OS);
    format!("{} {} {architecture} {system}", hotshoe_engine_config::BUILD, env!("CARGO_PKG_VERSION"))
}

fn file_name(component: &blake3::Hash) -> String {
    format!("{}{}", component.to_hex(), suffix())
}

fn suffix() -> String {
    let machine = blake3::hash(machine().as_bytes()).to_hex();
    format!("-{}", machine.get(..16).unwrap_or_default())
}

/// Reads a plain file without following a link; `None` where there is no plain file of that size.
fn read_plain(dir: &Dir, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let status = rustix::fs::fstat(&file)?;
    let size = u64::try_from(status.st_size).unwrap_or(u64::MAX);
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile
        || status.st_nlink != 1
        || size > limit
    {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    File::from(file).take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a file in place of whatever has the name, whole or not at all, readable by the host alone.
fn replace(dir: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.{TEMPORARY}");
    let _ = dir.remove_file(&temporary);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &*temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let written = File::from(file).write_all(bytes);
    let written = written.and_then(|()| {
        // A directory of that name would stand in the way of the rename.
        let _ = rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        dir.rename(&temporary, dir, name)
    });
    if written.is_err() {
        let _ = dir.remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(path: &std::path::Path) -> Cache {
        Cache::open(Dir::open_ambient_dir(path, ambient_authority()).unwrap()).unwrap()
    }

    #[test]
    fn finds_what_it_kept_over_a_restart_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (blake3::hash(b"one"), blake3::hash(b"other"));
        assert_eq!(open(directory.path()).keep(&one, b"code").bytes(), b"code");

        let cache = open(directory.path());
        assert_eq!(cache.find(&one).unwrap().bytes(), b"code");
        assert!(cache.find(&other).is_none());
        cache.forget(&one);
        assert!(cache.find(&one).is_none());
    }

    #[test]
    fn any_flipped_bit_and_any_cut_makes_it_worthless() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(directory.path());
        let component = blake3::hash(b"component");
        cache.keep(&component, b"code");
        let path = directory.path().join(file_name(&component));
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            assert!(cache.find(&component).is_none(), "bit {bit}");
        }
        for length in 0..good.len() {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(cache.find(&component).is_none(), "cut to {length}");
        }
        std::fs::write(&path, &good).unwrap();
        assert!(cache.find(&component).is_some());
    }

    #[test]
    fn another_device_another_component_and_links_are_not_believed() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cache, foreign) = (open(here.path()), open(there.path()));
        let (one, other) = (blake3::hash(b"one"), blake3::hash(b"other"));
        cache.keep(&one, b"code");
        foreign.keep(&other, b"code");

        std::fs::copy(there.path().join(file_name(&other)), here.path().join(file_name(&other))).unwrap();
        assert!(cache.find(&other).is_none(), "of another device");
        std::fs::copy(here.path().join(file_name(&one)), here.path().join(file_name(&other))).unwrap();
        assert!(cache.find(&other).is_none(), "of another component");

        let path = here.path().join(file_name(&one));
        let aside = here.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &path).unwrap();
        assert!(cache.find(&one).is_none(), "a symbolic link");
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(&aside, &path).unwrap();
        assert!(cache.find(&one).is_none(), "a hard link");
        cache.keep(&one, b"code");
        assert!(cache.find(&one).is_some(), "replaced by a file of its own");
    }

    #[test]
    fn the_key_is_the_hosts_alone_and_a_damaged_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let component = blake3::hash(b"component");
        open(directory.path()).keep(&component, b"code");
        let key = directory.path().join(KEY);
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o700);

        std::fs::write(&key, b"short").unwrap();
        let cache = open(directory.path());
        assert!(cache.find(&component).is_none());
        cache.keep(&component, b"code");
        assert!(open(directory.path()).find(&component).is_some());
    }

    #[test]
    fn what_nobody_will_load_goes_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let cache = open(directory.path());
        for number in 0..FILES + 3 {
            cache.keep(&blake3::hash(&number.to_le_bytes()), b"code");
        }
        for other in ["0123-of-another-engine", "0123.new"] {
            std::fs::write(directory.path().join(other), b"code").unwrap();
        }
        open(directory.path());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), FILES + 1);
        assert!(directory.path().join(KEY).exists());
    }
}
