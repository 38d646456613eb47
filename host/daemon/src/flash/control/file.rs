//! The `file` boot control: the boot record as two files beside the slots.
//!
//! `boot.0` and `boot.1` are written one after the other, in place, each flushed before the next: first the older one, so
//! that a whole one stands at any moment, then the other, so that both say the same and a sector that rots takes nothing
//! back (decision 0172). The second one stays the older of the two by its number, and is what the next change begins with.
//! A copy that differs, after a cut between the two or because it rotted, is mended when the record is opened.
//!
//! A boot loader that reads them needs no more than the layout in [`hotshoe_core::slot`]; one that writes them may be
//! content with one copy, the older.

use std::{io, sync::Arc};

use hotshoe_core::{
    planted::{self, Bug},
    slot::{BootRecord, COPIES, RECORD_BYTES, copy_for, decode, encode, newest},
};

use super::{BootControl, Memory};
use crate::{
    disk::{Folder, Open, read_all, settle},
    flash::FlashError,
};

/// The boot record on the disk.
#[derive(Debug)]
pub struct File {
    folder: Arc<dyn Folder>,
    /// The copy whose last write failed. What the medium has of it nobody knows, and the other one is all that is sure:
    /// the next write begins with this one.
    failed: Option<usize>,
}

impl File {
    /// The record in this folder.
    pub fn new(folder: Arc<dyn Folder>) -> Self {
        Self { folder, failed: None }
    }

    fn put(&self, copy: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.folder.open(&name(copy), Open::Create)?;
        file.write_at(bytes, 0)?;
        file.set_length(RECORD_BYTES as u64)?;
        if !planted::on(Bug::BootWithoutSync) {
            file.sync()?;
        }
        self.folder.sync()
    }

    /// The bytes of the copies that are there.
    fn copies(&self) -> Result<Vec<Vec<u8>>, FlashError> {
        let mut copies = Vec::new();
        for copy in 0..COPIES {
            let name = name(copy);
            let read = self.folder.open(&name, Open::Reading);
            match read.and_then(|file| read_all(file.as_ref(), RECORD_BYTES as u64)) {
                Ok(bytes) => copies.push(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(FlashError::io(format!("read the boot record {name}"))(error)),
            }
        }
        Ok(copies)
    }

    /// Has both copies say what the newer one says. Where that fails nothing has changed: the newer one is not touched.
    fn mend(&self) -> Result<(), FlashError> {
        let copies = self.copies()?;
        let Some(record) = newest(copies.iter().map(Vec::as_slice)) else { return Ok(()) };
        let said = |bytes: &Vec<u8>| {
            decode(bytes).is_ok_and(|other| BootRecord { sequence: record.sequence, ..other } == record)
        };
        let Some(older) = older(&record).filter(|_| copies.len() < COPIES || !copies.iter().all(said)) else {
            return Ok(());
        };
        let copy = copy_for(older.sequence);
        if let Err(error) = self.put(copy, &encode(&older)?) {
            tracing::warn!(copy, %error, "one copy of the boot record is out of date and could not be written");
        }
        Ok(())
    }
}

/// The same record for the other copy, so that this one is still the newer.
fn older(record: &BootRecord) -> Option<BootRecord> {
    let sequence = record.sequence.checked_sub(1)?;
    Some(BootRecord { sequence, ..record.clone() })
}

impl BootControl for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn settle(&self) -> Result<(), FlashError> {
        let names = [name(0), name(1)];
        let names = names.each_ref().map(String::as_str);
        settle(self.folder.as_ref(), &names).map_err(FlashError::io("flush the boot record"))?;
        self.mend()
    }

    fn read(&self) -> Result<Memory, FlashError> {
        let copies = self.copies()?;
        match newest(copies.iter().map(Vec::as_slice)) {
            Some(record) => Ok(Memory::Record(record)),
            // The first write of all was cut: it has acknowledged nothing, and its other copy was never there.
            None if copies.len() < COPIES => Ok(Memory::Empty),
            None => Ok(Memory::Corrupt("no copy of the boot record is valid".to_owned())),
        }
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let mut record = record.clone();
        if self.failed.is_some_and(|failed| failed != copy_for(record.sequence)) {
            record.sequence = record.sequence.saturating_add(1);
        }
        let older = older(&record).filter(|_| !planted::on(Bug::BootWrittenOnce));
        for record in [Some(record), older].into_iter().flatten() {
            let copy = copy_for(record.sequence);
            self.failed = Some(copy);
            let written = self.put(copy, &encode(&record)?);
            written.map_err(FlashError::io("write the boot record"))?;
        }
        self.failed = None;
        Ok(())
    }

    fn remembers_running(&self) -> bool {
        true
    }
}

fn name(copy: usize) -> String {
    format!("boot.{copy}")
}
