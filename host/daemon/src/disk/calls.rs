//! The few calls to the disk that `std` does not have, worded by what they are for.
//!
//! All are Linux's; each says what it does where a file system cannot do it.

use std::{
    fs::File,
    io,
    num::NonZeroU64,
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use cap_std::fs::Dir;
use rustix::{
    fs::{
        Advice, AtFlags, FallocateFlags, Mode, Timespec, Timestamps, UTIME_NOW, chmodat, fadvise, fallocate,
        futimens,
    },
    io::Errno,
};

/// Makes renames, new names and removals in a directory durable.
pub fn sync_directory(dir: &Dir) -> io::Result<()> {
    // A `Dir` may be opened with O_PATH, which cannot be flushed: open the directory itself for reading.
    dir.open(".")?.sync_all()
}

/// The directory of that name in this one, made if it is missing. Durable when it returns.
pub fn subdirectory(dir: &Dir, name: &str) -> io::Result<Dir> {
    match dir.create_dir(name) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // Also where it is there: who made it may have been killed before this.
    sync_directory(dir)?;
    dir.open_dir(name)
}

/// Sets the mode of what has that name in a directory, or of the directory itself where it is `.`. A link is followed:
/// for names in directories that nobody else writes to.
///
/// `Dir::set_permissions` goes through `/proc` and panics where that answers with an error that it does not expect.
pub fn set_mode(dir: &Dir, name: &str, mode: u32) -> io::Result<()> {
    Ok(chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Asks the kernel to write a range to the disk now, without waiting for it.
///
/// Spreads the writing over the whole download instead of one long stall in the last `fsync`. It is the advice
/// *don't need*: the kernel begins to write dirty pages at once, and pages being written stay in its cache.
/// A hint: where it cannot be followed nothing happens.
pub fn write_back_early(file: &File, offset: u64, length: u64) {
    if let Some(length) = NonZeroU64::new(length) {
        let _ = fadvise(file.as_fd(), offset, Some(length), Advice::DontNeed);
    }
}

/// Drops a file's clean pages from the kernel's cache, so that the next read asks the disk. Flush first.
///
/// A hint: on a file system in memory there is nothing behind the cache.
pub fn forget_cached(file: &File) {
    let _ = fadvise(file.as_fd(), 0, None, Advice::DontNeed);
}

/// Tells the kernel that the file is about to be read from front to back.
pub fn read_ahead(file: &File) {
    let _ = fadvise(file.as_fd(), 0, None, Advice::Sequential);
}

/// Sets room aside for a file without changing its length, so that a full disk shows before the first byte.
///
/// Where the file system has no such call it is skipped: the writes will tell.
pub fn preallocate(file: &File, length: u64) -> io::Result<()> {
    allocate(file, FallocateFlags::KEEP_SIZE, length)
}

/// Makes a file this long with room on the disk for all of it. Where the file system cannot, it becomes sparse.
pub fn extend(file: &File, length: u64) -> io::Result<()> {
    allocate(file, FallocateFlags::empty(), length)?;
    if file.metadata()?.len() < length { file.set_len(length) } else { Ok(()) }
}

fn allocate(file: &File, flags: FallocateFlags, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    match fallocate(file.as_fd(), flags, 0, length) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Marks a file as used now, by the kernel's clock. A hint for who is collected first, not durable.
pub fn touch(file: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(file.as_fd(), &Timestamps { last_access: now, last_modification: now });
}

/// Whether an error says that there is no room: a full disk, or a full quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes of the disk that a file has, those set aside for it too; none where it cannot be told.
pub fn allocated(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.blocks().saturating_mul(512))
}

/// Bytes that are still free on the disk of a directory, for a process without privileges. An error says nothing of them.
pub fn available(dir: &Dir) -> io::Result<u64> {
    let fs = rustix::fs::fstatvfs(dir.as_fd())?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}
