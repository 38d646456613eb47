//! The device's disk, as far as anything durable rests on it: folders, and volumes in them.
//!
//! Why a seam of our own and not files: whether a device survives a power cut is decided by what was flushed in which
//! order, and only a disk that can be cut at every single operation shows that. So what must survive (`state`, `flash`,
//! boot control) is written against [`Folder`] and [`Volume`]; a directory ([`Dir`]) and a file are the real ones.
//!
//! Promise of both, and no more: what was written is seen by later reads; it is durable after [`Volume::sync`] of that
//! volume, and a name (made, renamed, removed) after [`Folder::sync`] of its folder. Until then a power cut may keep
//! it, drop it, tear it or reorder it. A sync that failed says that what was written since the last good one is lost.
//!
//! What a process finds is not thereby durable: one that was killed before it synced leaves changes that are seen and
//! that a power cut may still take back. Who acts on what it reads syncs first.
//!
//! All calls block on the disk.

mod blocking;
mod buffer;
mod calls;
mod device;
mod real;
#[cfg(test)]
pub(crate) mod refusing;

use std::{fmt::Debug, io, sync::Arc};

pub use blocking::{Blocking, blocking};
pub use buffer::Buffer;
pub use calls::{
    allocated, available, extend, forget_cached, is_full, preallocate, read_ahead, set_mode, subdirectory,
    sync_directory, touch, write_back_early,
};
pub use device::Device;

/// A directory, as authority over what is in it. Names are single: no separators, no `..`.
pub trait Folder: Debug + Send + Sync {
    /// Opens a volume. With [`Open::Existing`] one that is missing is [`io::ErrorKind::NotFound`].
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>>;

    /// The folder of that name in this one, made if it is missing. Its name is durable when this returns, whoever made it.
    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>>;

    /// Gives a volume another name, in place of what had it before.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a volume.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Whether there is anything of that name.
    fn has(&self, name: &str) -> bool;

    /// The names of the volumes, in no order. Folders, links and names that are not UTF-8 are left out.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes renames, new names and removals durable.
    fn sync(&self) -> io::Result<()>;
}

/// How a volume is opened. Each allows reading; all but [`Open::Reading`] writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read one that is there.
    Reading,
    /// To change one that is there.
    Existing,
    /// As it is, or made empty if it is missing.
    Create,
    /// Made empty.
    Truncate,
    /// To change one that is there, past the kernel's cache: offsets, lengths and memory in whole [`BLOCK`]s. Where that
    /// cannot be it is [`io::ErrorKind::InvalidInput`], here or at the first call. It takes a [`Volume::sync`] all the
    /// same.
    Direct,
}

/// What offsets, lengths and memory are multiples of for a volume that is opened with [`Open::Direct`].
pub const BLOCK: usize = 4096;

/// An open file or block device.
pub trait Volume: Debug + Send + Sync {
    /// Fills the buffer from this offset, or fails: short reads are [`io::ErrorKind::UnexpectedEof`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes at this offset. After an error any part of them may be there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Cuts it off at, or extends it with zeros to, this length.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes it at least this long with room set aside for all of it, so that a full disk shows now.
    fn extend(&self, length: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length that it needs.
    fn sync(&self) -> io::Result<()>;

    /// Tells the disk what will be wanted. Changes nothing that can be read.
    fn hint(&self, hint: Hint);
}

/// What a disk may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Begin to write this range now, without anybody waiting for it: spreads the work of the next sync.
    WriteBack {
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
    /// What was read or written will not be needed: let the next read ask the medium. Sync first.
    Forget,
    /// It will be read from front to back.
    ReadAhead,
}

/// Makes durable what an earlier process wrote to these volumes, and their names. What is missing is left alone.
///
/// For volumes that are changed in place and acted upon: after this, what is read cannot be taken back. A sync that
/// failed in that process has left pages that are seen, count as clean and will never be written; a later sync says that
/// all is well. So they are dropped from the kernel's cache, and the next read asks the medium.
pub fn settle(folder: &dyn Folder, names: &[&str]) -> io::Result<()> {
    for name in names {
        match folder.open(name, Open::Reading) {
            Ok(volume) => {
                volume.sync()?;
                volume.hint(Hint::Forget);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    folder.sync()
}

/// Reads all of a volume, at most `limit` bytes and one: who gets more than `limit` knows that there is too much.
pub fn read_all(volume: &dyn Volume, limit: u64) -> io::Result<Vec<u8>> {
    let length = volume.length()?.min(limit.saturating_add(1));
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    volume.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
