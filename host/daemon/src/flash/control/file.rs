//! The `file` boot control: the boot record as two files beside the slots.
//!
//! `boot.0` and `boot.1` are written in turn, in place, and flushed; what that is good for stands in
//! [`hotshoe_core::slot`]. A boot loader that reads them needs no more than the layout there.

use std::{io, sync::Arc};

use hotshoe_core::planted::{self, Bug};
use hotshoe_core::slot::{BootRecord, COPIES, RECORD_BYTES, copy_for, encode, newest};

use super::{BootControl, Memory};
use crate::{
    disk::{Folder, Open, read_all, settle},
    flash::FlashError,
};

/// The boot record on the disk.
#[derive(Debug)]
pub struct File {
    folder: Arc<dyn Folder>,
}

impl File {
    /// The record in this folder.
    pub fn new(folder: Arc<dyn Folder>) -> Self {
        Self { folder }
    }

    fn write(&self, copy: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.folder.open(&name(copy), Open::Create)?;
        file.write_at(bytes, 0)?;
        file.set_length(RECORD_BYTES as u64)?;
        if !planted::on(Bug::BootWithoutSync) {
            file.sync()?;
        }
        self.folder.sync()
    }
}

impl BootControl for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn settle(&self) -> Result<(), FlashError> {
        let names = [name(0), name(1)];
        let names = names.each_ref().map(String::as_str);
        settle(self.folder.as_ref(), &names).map_err(FlashError::io("flush the boot record"))
    }

    fn read(&self) -> Result<Memory, FlashError> {
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
        match newest(copies.iter().map(Vec::as_slice)) {
            Some(record) => Ok(Memory::Record(record)),
            // The first write of all was cut: it has acknowledged nothing, and its other copy was never there.
            None if copies.len() < COPIES => Ok(Memory::Empty),
            None => Ok(Memory::Corrupt("no copy of the boot record is valid".to_owned())),
        }
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let bytes = encode(record)?;
        File::write(self, copy_for(record.sequence), &bytes).map_err(FlashError::io("write the boot record"))
    }

    fn remembers_running(&self) -> bool {
        true
    }
}

fn name(copy: usize) -> String {
    format!("boot.{copy}")
}
