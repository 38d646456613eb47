//! The `file` boot control: the boot record as two files beside the slots.
//!
//! `boot.0` and `boot.1` are written in turn, in place, and flushed; what that is good for stands in
//! [`hotshoe_core::slot`]. A record whose flush failed may or may not be on the disk: it is not trusted, the next
//! change is written whether it changes anything or not.

use std::{io, sync::Arc};

use hotshoe_core::planted::{self, Bug};
use hotshoe_core::slot::{BootRecord, COPIES, Event, RECORD_BYTES, copy_for, encode, newest};

use super::FlashError;
use crate::disk::{Folder, Open, read_all};

/// The boot record on the disk.
#[derive(Debug)]
pub(super) struct BootControl {
    folder: Arc<dyn Folder>,
    /// Whether the last write failed, so that what a read returns may be gone after a power cut.
    doubtful: bool,
}

impl BootControl {
    pub(super) fn new(folder: Arc<dyn Folder>) -> Self {
        Self { folder, doubtful: false }
    }

    /// The newest valid record. `None` if none was ever written, or none of what was written is valid.
    pub(super) fn read(&self) -> Result<Option<BootRecord>, FlashError> {
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
        let record = newest(copies.iter().map(Vec::as_slice));
        if record.is_none() && !copies.is_empty() {
            tracing::error!(
                "no copy of the boot record is valid; taking the first slot for the running good one"
            );
        }
        Ok(record)
    }

    /// Applies an event and makes the outcome durable before it returns.
    pub(super) fn apply(&mut self, record: &BootRecord, event: Event<'_>) -> Result<BootRecord, FlashError> {
        let mut next = record.after(event)?;
        if next == *record && !self.doubtful {
            return Ok(next);
        }
        if next == *record {
            next.sequence = next.sequence.saturating_add(1);
        }
        let bytes = encode(&next)?;
        self.doubtful = !planted::on(Bug::BootFailureForgotten);
        let written = self.write(copy_for(next.sequence), &bytes);
        if !planted::on(Bug::BootErrorSwallowed) {
            written.map_err(FlashError::io("write the boot record"))?;
        }
        self.doubtful = false;
        Ok(next)
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

fn name(copy: usize) -> String {
    format!("boot.{copy}")
}
