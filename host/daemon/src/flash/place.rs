//! Where a slot stands: a file, a block device, or a directory of files.
//!
//! The image is always written into a volume, so that staging, resuming and reading back are the same for all. A
//! directory has such a volume beside it and is made out of the verified image when that is sealed ([`tree`]).

mod tree;

use std::{io, sync::Arc};

use cap_std::fs::Dir;

use super::PartConfig;
use crate::disk::{Folder, Open, Volume};

/// Where a slot stands.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, made with room for all of the slot.
    File {
        /// The folder.
        folder: Arc<dyn Folder>,
        /// The file's name in it.
        name: String,
    },
    /// A block device that is there, at least as large as the slot.
    Device {
        /// The folder that it is opened in; it opens nothing that is in use for writing.
        folder: Arc<dyn Folder>,
        /// The device's name in it.
        name: String,
    },
    /// A directory of files, unpacked out of an uncompressed tar, which stands beside it as `NAME.tar`.
    Tree {
        /// The folder of the tar.
        folder: Arc<dyn Folder>,
        /// The directory in which the tree stands. What is unpacked cannot leave it.
        directory: Arc<Dir>,
        /// The tree's name in it.
        name: String,
    },
}

impl Place {
    /// The folder and the name of the volume that an image is written to.
    fn volume(&self) -> (&dyn Folder, String) {
        match self {
            Place::File { folder, name } | Place::Device { folder, name } => (folder.as_ref(), name.clone()),
            Place::Tree { folder, name, .. } => (folder.as_ref(), format!("{name}.tar")),
        }
    }

    /// Which place it is, for comparison with others.
    pub(super) fn words(&self) -> String {
        let kind = if matches!(self, Place::Device { .. }) { "device" } else { "file" };
        format!("{kind} {}", self.volume().1)
    }
}

impl PartConfig {
    /// Makes the file if it is missing, with room for all of it; looks whether the device is large enough.
    pub(super) fn make(&self) -> io::Result<()> {
        let (folder, name) = self.place.volume();
        if matches!(self.place, Place::Device { .. }) {
            let length = folder.open(&name, Open::Reading)?.length()?;
            if length < self.size {
                let text = format!("the device has {length} bytes, the configuration says {}", self.size);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            return Ok(());
        }
        let file = folder.open(&name, Open::Create)?;
        if file.length()? < self.size {
            file.extend(self.size)?;
            file.sync()?;
            folder.sync()?;
        }
        Ok(())
    }

    /// Opens the volume that the image is written to.
    pub(super) fn open(&self, how: Open) -> io::Result<Box<dyn Volume>> {
        let (folder, name) = self.place.volume();
        folder.open(&name, how)
    }

    /// Whether what boots is something else than what an image is written to.
    pub(super) fn is_unpacked(&self) -> bool {
        matches!(self.place, Place::Tree { .. })
    }

    /// What is left to do with an image that was verified, before its slot counts as sealed. Durable when it returns;
    /// doing it again after a cut is well.
    pub(super) fn settle(&self, image: &dyn Volume, length: u64) -> io::Result<()> {
        match &self.place {
            Place::File { .. } | Place::Device { .. } => Ok(()),
            Place::Tree { directory, name, .. } => tree::unpack(directory, name, image, length),
        }
    }
}
