//! `[[repositories]]` and `hardware`: whose signatures the device goes by, and what it is.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use hotshoe_core::target;

use super::check::Check;
use super::file;
use crate::trust::{RepositorySettings, is_repository_name};

/// The most mirrors, and the most directories, of a repository.
const PLACES: usize = 16;
/// The most bytes of a root file.
const ROOT_LIMIT: u64 = 512 * 1024;

impl Check<'_> {
    pub(super) fn hardware(&mut self, ids: &[String]) {
        for id in ids {
            let checked = target::check_hardware(id).map_err(|error| error.to_string());
            self.note("hardware", checked);
        }
    }

    pub(super) fn repositories(&mut self, repositories: &[file::Repository]) -> Vec<RepositorySettings> {
        let (mut names, mut bases) = (HashSet::new(), HashSet::new());
        let mut list = Vec::new();
        for repository in repositories {
            let place = format!("[[repositories]] {:?}", repository.name);
            if !is_repository_name(&repository.name) {
                self.problem(&format!("{place}: a name takes 1 to 64 of a-z, 0-9 and dashes"));
            }
            if !names.insert(&repository.name) {
                self.problem(&format!("{place}: another repository has this name"));
            }
            let mirrors = repository.mirrors.iter().map(|url| ("mirrors", url));
            for (key, url) in [("metadata", &repository.metadata), ("targets", &repository.targets)]
                .into_iter()
                .chain(mirrors)
            {
                let plain = url.username().is_empty() && url.password().is_none();
                if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() || !plain {
                    self.problem(&format!(
                        "{place}: {key}: {url} is not taken: it is an https URL of a folder, without user, `?` and `#`"
                    ));
                }
            }
            if !bases.insert(repository.targets.as_str().trim_end_matches('/')) {
                self.problem(&format!("{place}: another repository has these targets"));
            }
            let counts =
                [("mirrors", repository.mirrors.len()), ("directories", repository.directories.len())];
            for (key, found) in counts.into_iter().filter(|(_, found)| *found > PLACES) {
                self.problem(&format!("{place}: {key}: {found} are listed, and {PLACES} are the most"));
            }
            let root = read(&self.path(&repository.root_file));
            if let Some(root) = self.note(&format!("{place}: root_file"), root) {
                list.push(RepositorySettings {
                    name: repository.name.clone(),
                    root,
                    metadata: repository.metadata.clone(),
                    targets: repository.targets.clone(),
                    mirrors: repository.mirrors.clone(),
                    directories: repository.directories.iter().map(|path| self.path(path)).collect(),
                });
            }
        }
        list
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(ROOT_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > ROOT_LIMIT {
        return Err(format!("{} has more than {ROOT_LIMIT} bytes", path.display()));
    }
    crate::trust::check_root(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}
