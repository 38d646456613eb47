//! The real disk: a directory that is an authority, and the files and block devices in it.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::fs::OFlags;

use super::{Folder, Hint, Open, Volume, calls};

impl Folder for Dir {
    fn open(&self, name: &str, how: Open) -> io::Result<Box<dyn Volume>> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Reading);
        if how == Open::Direct {
            options.custom_flags(OFlags::DIRECT.bits().cast_signed());
        }
        options.create(matches!(how, Open::Create | Open::Truncate)).truncate(how == Open::Truncate);
        Ok(Box::new(self.open_with(name, &options)?.into_std()))
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        Ok(Arc::new(calls::subdirectory(self, name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Dir::rename(self, from, self, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.remove_file(name)
    }

    fn has(&self, name: &str) -> bool {
        self.symlink_metadata(name).is_ok()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.entries()? {
            let entry = entry?;
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        calls::sync_directory(self)
    }
}

impl Volume for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn extend(&self, length: u64) -> io::Result<()> {
        calls::extend(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn hint(&self, hint: Hint) {
        match hint {
            Hint::WriteBack { offset, length } => calls::write_back_early(self, offset, length),
            Hint::Forget => calls::forget_cached(self),
            Hint::ReadAhead => calls::read_ahead(self),
        }
    }
}
