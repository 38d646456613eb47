//! A directory of files out of a tar.
//!
//! Promise: the tree appears under its name whole or not at all, and is durable then; nothing in the tar can name,
//! make or link to anything outside of it. Every file is synced before the tree gets its name.
//!
//! The one that had the name before goes first: this slot is neither the running nor the good one, its record says
//! that it holds nothing, and two trees at once might not fit. Sizes are bounded by the tar, which is the image and
//! fits the slot: sparse entries, which could be larger than what they take, are refused like devices and pipes.
//!
//! It keeps modes, and owners where the process may; not extended attributes and not times.

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use tar::{Archive, EntryType, Header};

use crate::disk::{Volume, set_mode, sync_directory};

/// The deepest path in a tar, in directories.
const DEPTH: usize = 64;

pub(super) fn unpack(parent: &Dir, name: &str, image: &dyn Volume, length: u64) -> io::Result<()> {
    let fresh = format!("{name}.new");
    for old in [fresh.as_str(), name] {
        match parent.remove_dir_all(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    parent.create_dir(&fresh)?;
    let tree = parent.open_dir(&fresh)?;
    let mut directories = vec![PathBuf::from(".")];
    let mut archive = Archive::new(Reader { image, at: 0, length });
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = inside(&entry.path()?)?;
        if path.as_os_str().is_empty() {
            continue;
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            tree.create_dir_all(parent)?;
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                tree.create_dir_all(&path)?;
                directories.push(path.clone());
            }
            EntryType::Regular | EntryType::Continuous => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                let mut file = tree.open_with(&path, &options)?;
                io::copy(&mut entry, &mut file)?;
                owner(&tree, &path, entry.header())?;
                file.set_permissions(Permissions::from_mode(entry.header().mode()? & 0o7777))?;
                file.sync_all()?;
                continue;
            }
            EntryType::Symlink => {
                let target = link(&entry, &path)?;
                tree.symlink_contents(target, &path)?;
                owner(&tree, &path, entry.header())?;
                continue;
            }
            EntryType::Link => {
                let target = entry.link_name()?.ok_or_else(|| refused(&path, "is a link to nothing"))?;
                tree.hard_link(inside(&target)?, &tree, &path)?;
                continue;
            }
            _ => return Err(refused(&path, "is neither a file, nor a directory, nor a link")),
        }
        owner(&tree, &path, entry.header())?;
        set_mode(&tree.open_dir(&path)?, ".", entry.header().mode()? & 0o7777)?;
    }
    // Also those that no entry of the tar names.
    let implied: Vec<PathBuf> = walk(&tree)?;
    for directory in directories.iter().chain(&implied) {
        sync_directory(&tree.open_dir(directory)?)?;
    }
    parent.rename(&fresh, parent, name)?;
    sync_directory(parent)
}

/// The path within the tree; an error where it could lead out of it.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(refused(path, "leads out of the tree")),
        }
    }
    if clean.components().count() > DEPTH {
        return Err(refused(path, "is too deep"));
    }
    Ok(clean)
}

/// Where a symbolic link leads. `..` is well as long as it stays in the tree; absolute is not, since the tree's root is
/// the system's root only once it is booted, and somebody else's until then.
fn link<R: Read>(entry: &tar::Entry<'_, R>, path: &Path) -> io::Result<PathBuf> {
    let target = entry.link_name()?.ok_or_else(|| refused(path, "is a link to nothing"))?.into_owned();
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth = depth.saturating_add(1),
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth = depth.saturating_sub(1),
            _ => return Err(refused(path, "is a link out of the tree")),
        }
    }
    Ok(target)
}

/// Gives it to whom the tar says, where this process may.
fn owner(tree: &Dir, path: &Path, header: &Header) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let id = |number: u64| u32::try_from(number).map_err(io::Error::other);
    let (user, group) = (Uid::from_raw(id(header.uid()?)?), Gid::from_raw(id(header.gid()?)?));
    let (directory, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
            (tree.open_dir(parent)?, Path::new(name))
        }
        _ => (tree.try_clone()?, path),
    };
    chownat(&directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
}

/// All directories below this one.
fn walk(tree: &Dir) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(".")];
    while let Some(next) = open.pop() {
        for entry in tree.read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(next.join(entry.file_name()));
            }
        }
        found.push(next);
    }
    Ok(found)
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} in the image {why}", path.display()))
}

/// A volume, read from front to back.
struct Reader<'a> {
    image: &'a dyn Volume,
    at: u64,
    length: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let (piece, _) = buffer.split_at_mut(wanted);
        self.image.read_at(piece, self.at)?;
        self.at = self.at.saturating_add(wanted as u64);
        Ok(wanted)
    }
}
