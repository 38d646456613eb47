//! The files and folders of a simulated disk, as values: copied at each operation, cut, and looked at.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{
    content::{Change, Content},
    cut::Loss,
};
use crate::random::Random;

/// Which folder; the root is 0.
pub type FolderId = usize;
/// Which file.
pub type FileId = usize;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(FileId),
    /// A folder.
    Folder(FolderId),
}

type Names = BTreeMap<Arc<str>, Entry>;

#[derive(Clone, Debug, Default)]
struct Directory {
    shown: Names,
    kept: Names,
    /// Each a set of names that changes at once.
    pending: Vec<Vec<(Arc<str>, Option<Entry>)>>,
}

/// A disk.
#[derive(Clone, Debug)]
pub struct Tree {
    folders: Vec<Arc<Directory>>,
    files: Vec<Arc<Content>>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { folders: vec![Arc::default()], files: Vec::new() }
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {name}"))
}

impl Tree {
    /// Puts a file where it was all along, making the folders.
    pub fn place(&mut self, path: &[&str], bytes: Vec<u8>) {
        let mut folder = 0;
        let (name, folders) = path.split_last().expect("a path has a name");
        for name in folders {
            folder = match self.entry(folder, name) {
                Some(Entry::Folder(id)) => id,
                _ => self.make_folder(folder, name),
            };
            self.sync_folder(0);
        }
        let id = self.make_file(folder, name);
        *self.file_mut(id) = Content::durable(bytes);
        self.sync_folder(folder);
    }

    /// Flips a bit of the file at a path, on the medium. False where there is none.
    pub fn flip(&mut self, path: &[&str], at: usize, bit: u32) -> bool {
        let mut folder = 0;
        for name in path {
            match self.entry(folder, name) {
                Some(Entry::Folder(id)) => folder = id,
                Some(Entry::File(id)) => return self.file_mut(id).flip(at, bit),
                None => return false,
            }
        }
        false
    }

    /// What a name stands for.
    pub fn entry(&self, folder: FolderId, name: &str) -> Option<Entry> {
        self.folders.get(folder)?.shown.get(name).copied()
    }

    /// The file at a path, as it is seen.
    pub fn find(&self, path: &[&str]) -> Option<&Content> {
        self.walk(path, |folder| &folder.shown)
    }

    /// The file that a path is sure to lead to after a power cut.
    pub fn find_kept(&self, path: &[&str]) -> Option<&Content> {
        self.walk(path, |folder| &folder.kept)
    }

    fn walk(&self, path: &[&str], names: impl Fn(&Directory) -> &Names) -> Option<&Content> {
        let mut folder = 0;
        for name in path {
            match names(self.folders.get(folder)?).get(*name)? {
                Entry::Folder(id) => folder = *id,
                Entry::File(id) => return Some(self.file(*id)),
            }
        }
        None
    }

    /// The names of the files in a folder.
    pub fn names(&self, folder: FolderId) -> Vec<String> {
        let files = self.folders[folder].shown.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
        files.map(|(name, _)| name.to_string()).collect()
    }

    /// Makes an empty file.
    pub fn make_file(&mut self, folder: FolderId, name: &str) -> FileId {
        self.files.push(Arc::default());
        let id = self.files.len() - 1;
        self.rename_in(folder, vec![(name.into(), Some(Entry::File(id)))]);
        id
    }

    /// Makes an empty folder.
    pub fn make_folder(&mut self, folder: FolderId, name: &str) -> FolderId {
        self.folders.push(Arc::default());
        let id = self.folders.len() - 1;
        self.rename_in(folder, vec![(name.into(), Some(Entry::Folder(id)))]);
        id
    }

    /// Gives a file another name.
    pub fn rename(&mut self, folder: FolderId, from: &str, to: &str) -> io::Result<()> {
        let entry = self.entry(folder, from).ok_or_else(|| missing(from))?;
        if from != to {
            self.rename_in(folder, vec![(from.into(), None), (to.into(), Some(entry))]);
        }
        Ok(())
    }

    /// Removes a name.
    pub fn remove(&mut self, folder: FolderId, name: &str) -> io::Result<()> {
        self.entry(folder, name).ok_or_else(|| missing(name))?;
        self.rename_in(folder, vec![(name.into(), None)]);
        Ok(())
    }

    fn rename_in(&mut self, folder: FolderId, names: Vec<(Arc<str>, Option<Entry>)>) {
        let folder = Arc::make_mut(&mut self.folders[folder]);
        apply(&mut folder.shown, &names);
        folder.pending.push(names);
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&mut self, folder: FolderId) {
        let folder = Arc::make_mut(&mut self.folders[folder]);
        if !folder.pending.is_empty() {
            folder.kept = folder.shown.clone();
        }
        folder.pending.clear();
    }

    /// A file.
    pub fn file(&self, id: FileId) -> &Content {
        &self.files[id]
    }

    /// A file, to change it.
    pub fn file_mut(&mut self, id: FileId) -> &mut Content {
        Arc::make_mut(&mut self.files[id])
    }

    /// Changes a file, not durably.
    pub fn change(&mut self, id: FileId, change: Change) {
        self.file_mut(id).change(change);
    }

    /// What a power cut leaves.
    pub fn cut(&mut self, loss: Loss, random: &mut Random) {
        if loss == Loss::Kill {
            return;
        }
        for folder in &mut self.folders {
            if folder.pending.is_empty() {
                continue;
            }
            let folder = Arc::make_mut(folder);
            for names in folder.pending.drain(..) {
                if loss.keeps_name(random) {
                    apply(&mut folder.kept, &names);
                }
            }
            folder.shown = folder.kept.clone();
        }
        for file in &mut self.files {
            if !file.is_settled() {
                Arc::make_mut(file).cut(loss, random);
            }
        }
        self.collect();
    }

    /// Throws away what no name leads to, so that a long life stays small.
    fn collect(&mut self) {
        let mut moved: BTreeMap<FileId, FileId> = BTreeMap::new();
        let mut files = Vec::new();
        for folder in &self.folders {
            for entry in folder.kept.values() {
                if let Entry::File(id) = entry {
                    moved.entry(*id).or_insert_with(|| {
                        files.push(Arc::clone(&self.files[*id]));
                        files.len() - 1
                    });
                }
            }
        }
        if files.len() + 8 > self.files.len() {
            return;
        }
        for folder in &mut self.folders {
            let folder = Arc::make_mut(folder);
            for names in [&mut folder.kept, &mut folder.shown] {
                for entry in names.values_mut() {
                    if let Entry::File(id) = entry {
                        *id = moved.get(id).copied().unwrap_or_default();
                    }
                }
            }
        }
        self.files = files;
    }
}

fn apply(names: &mut Names, change: &[(Arc<str>, Option<Entry>)]) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(Arc::clone(name), *entry),
            None => names.remove(name),
        };
    }
}
