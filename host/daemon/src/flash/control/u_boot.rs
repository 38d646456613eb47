//! The `u-boot` boot control: variables in U-Boot's environment.
//!
//! The variables are those of [`hotshoe_core::slot::loader`], the layout that of [`Environment`]. U-Boot's script reads
//! and lowers them (`examples/device/u-boot/boot.cmd`). With two copies a save goes to the one that does not count, so
//! a cut leaves the other; with one copy a cut in the middle of a save leaves U-Boot with the environment it was built
//! with, which is worth a warning but the device's choice.
//!
//! Where no copy is valid nothing is written: what else stood there is not known here, and U-Boot can save its own.

use std::{io, sync::Arc};

use hotshoe_core::slot::{BootRecord, Environment, current, loader};

use super::{BootControl, Memory};
use crate::{
    disk::{Folder, Open, settle},
    flash::FlashError,
};

/// The largest environment that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Where one copy stands.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The folder of the file or block device.
    pub folder: Arc<dyn Folder>,
    /// Its name there.
    pub name: String,
    /// Where in it the copy begins, in bytes.
    pub offset: u64,
}

/// U-Boot's environment on the disk.
#[derive(Debug)]
pub struct UBoot {
    copies: Vec<Copy>,
    size: usize,
}

impl UBoot {
    /// The environment of this size in one or two copies.
    ///
    /// # Errors
    /// [`FlashError::Configuration`] for other numbers of copies, and sizes that are none.
    pub fn new(copies: Vec<Copy>, size: u64) -> Result<Self, FlashError> {
        let wrong = |text: &str| FlashError::Configuration(format!("U-Boot environment: {text}"));
        match copies.len() {
            1 => tracing::warn!(
                "U-Boot's environment has one copy; a power cut while it is saved leaves U-Boot with its built-in one"
            ),
            2 => {}
            _ => return Err(wrong("it takes one copy or two")),
        }
        if !(64..=LARGEST).contains(&size) {
            return Err(wrong("its size takes 64 B to 1 MiB"));
        }
        let size = usize::try_from(size).map_err(|_| wrong("its size is too large"))?;
        Ok(Self { copies, size })
    }

    fn is_redundant(&self) -> bool {
        self.copies.len() > 1
    }

    /// The environment that counts, the copy that it stands in, and its flags.
    fn load(&self) -> Result<Option<(Environment, usize, u8)>, FlashError> {
        let mut valid = Vec::new();
        for (number, copy) in self.copies.iter().enumerate() {
            let bytes = self.read_copy(copy).map_err(FlashError::io(format!("read {}", copy.words())))?;
            if let Some((environment, flags)) = Environment::decode(&bytes, self.is_redundant()) {
                valid.push((environment, number, flags));
            }
        }
        let counts = match valid.as_slice() {
            [(_, _, first), (_, _, second)] => current(*first, *second),
            _ => 0,
        };
        Ok(valid.into_iter().nth(counts))
    }

    /// The bytes of a copy; none where there is no such place.
    fn read_copy(&self, copy: &Copy) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.size];
        let read = copy.folder.open(&copy.name, Open::Reading);
        match read.and_then(|volume| volume.read_at(&mut bytes, copy.offset)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                Ok(Vec::new())
            }
            read => read.map(|()| bytes),
        }
    }

    fn write_copy(&self, copy: &Copy, bytes: &[u8]) -> io::Result<()> {
        let volume = copy.folder.open(&copy.name, Open::Existing)?;
        volume.write_at(bytes, copy.offset)?;
        volume.sync()
    }
}

impl BootControl for UBoot {
    fn name(&self) -> &'static str {
        "u-boot"
    }

    fn settle(&self) -> Result<(), FlashError> {
        let settled = self.copies.iter().try_for_each(|copy| settle(copy.folder.as_ref(), &[&copy.name]));
        settled.map_err(FlashError::io("flush U-Boot's environment"))
    }

    fn read(&self) -> Result<Memory, FlashError> {
        let Some((environment, ..)) = self.load()? else {
            return Ok(Memory::Corrupt("no copy of U-Boot's environment is valid".to_owned()));
        };
        let record = loader::from_variables(|name| environment.value(name));
        Ok(record.map_or(Memory::Empty, Memory::Record))
    }

    fn write(&mut self, record: &BootRecord) -> Result<(), FlashError> {
        let failed = |text: &str| FlashError::Io {
            action: "save U-Boot's environment".to_owned(),
            text: text.to_owned(),
        };
        let Some((mut environment, number, flags)) = self.load()? else {
            return Err(failed(
                "no copy of it is valid; have U-Boot save its own (`env default -a; saveenv`)",
            ));
        };
        for (name, value) in loader::variables(record) {
            environment.set(name, value.as_deref());
        }
        let (target, flags) = if self.is_redundant() {
            (1_usize.saturating_sub(number), Some(flags.wrapping_add(1)))
        } else {
            (0, None)
        };
        let bytes = environment.encode(flags, self.size);
        let bytes =
            bytes.ok_or_else(|| failed("there is no room left in it; remove variables that nobody needs"))?;
        let copy = self.copies.get(target).ok_or_else(|| failed("it has no such copy"))?;
        self.write_copy(copy, &bytes).map_err(FlashError::io(format!("write {}", copy.words())))
    }
}

impl Copy {
    fn words(&self) -> String {
        format!("U-Boot's environment in {} at {}", self.name, self.offset)
    }
}
