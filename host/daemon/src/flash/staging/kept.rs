//! The hashes of a slot's chunks, kept beside its record.
//!
//! The outboard is kept as it came, so that the root in the record checks it each time it is read: what is torn, rotten
//! or of another image is as good as missing. It serves three times: to verify what stands in the slot after a cut, to
//! read the slot back by chunks, and, once another image is to be installed, to know without reading the slot which of
//! its chunks need not be fetched.

use std::{io, sync::Arc};

use hotshoe_core::{
    digest::Digest,
    image::{Tree, outboard_length},
};

use super::Staging;
use crate::{
    disk::{Open, Volume, read_all},
    flash::{Inner, record::SlotRecord, records::file_name},
};

/// The slot the device runs from, as far as chunks can be taken from it.
#[derive(Debug)]
pub struct Running {
    /// The slot. To be read only.
    pub volume: Box<dyn Volume>,
    /// What was in it when it was sealed.
    pub tree: Tree,
}

impl Staging {
    /// The hashes of the image's chunks, if they are known.
    pub fn tree(&self) -> Option<Arc<Tree>> {
        self.chunks.as_ref()?.tree.clone()
    }

    /// Takes over the hashes of the image's chunks, and keeps them beyond this process.
    ///
    /// That they cannot be kept costs a later process one small request and is no error.
    pub fn keep_tree(&mut self, tree: Arc<Tree>, outboard: &[u8]) {
        if let Err(error) = self.write_tree(outboard) {
            tracing::warn!(slot = self.slot.name, %error, "cannot keep the hashes of an image's chunks");
        }
        if let Some(chunks) = &mut self.chunks {
            chunks.tree = Some(tree);
        }
    }

    /// The slot the device runs from, or the part of it that this slot is, if the hashes of its chunks are known.
    pub fn running(&self) -> Option<Running> {
        let running = self.flash.record().ok()?.running;
        let name = match self.slot.name.split_once('/') {
            Some((_, part)) => format!("{running}/{part}"),
            None => running,
        };
        let slot = self.flash.slot(&name).ok().filter(|slot| slot.config.name != self.slot.name)?;
        let record = self.flash.content(&name).ok()?.filter(|record| record.sealed.is_some())?;
        let tree = read_tree(&self.flash, &name, record.root.as_ref()?, record.length?)?;
        let volume = slot.config.open(Open::Reading).ok()?;
        Some(Running { volume, tree })
    }

    /// Reads what was kept of the image that the record is about, and drops what was kept of another.
    pub(super) fn load_tree(&mut self) {
        match (&self.record, &mut self.chunks) {
            (SlotRecord { root: Some(root), length: Some(length), .. }, Some(chunks)) => {
                chunks.tree = read_tree(&self.flash, &self.slot.name, root, *length).map(Arc::new);
            }
            _ => {
                let name = file_name(&self.slot.name);
                if self.flash.trees.has(&name) {
                    let _ = self.flash.trees.remove(&name);
                }
            }
        }
    }

    fn write_tree(&self, outboard: &[u8]) -> io::Result<()> {
        let name = file_name(&self.slot.name);
        let (new, trees) = (format!("{name}.new"), &self.flash.trees);
        let volume = trees.open(&new, Open::Truncate)?;
        volume.write_at(outboard, 0)?;
        volume.sync()?;
        trees.rename(&new, &name)?;
        trees.sync()
    }
}

fn read_tree(flash: &Inner, slot: &str, root: &Digest, length: u64) -> Option<Tree> {
    let volume = flash.trees.open(&file_name(slot), Open::Reading).ok()?;
    let outboard = read_all(volume.as_ref(), outboard_length(length)).ok()?;
    Tree::from_outboard(&root.bytes, length, &outboard).ok()
}
