//! Where a signed image can be had: from local copies, from its repository's server, from the operator's mirrors.
//!
//! None of these is trusted with anything: what comes is checked against what is signed, wherever it comes from. That a
//! place is asked at all is the operator's word, in the configuration; a job cannot name one. A directory is opened each
//! time, since it may be a stick that comes later, and is passed over while it is not there.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::fs::Dir;
use url::Url;

use super::{Repositories, Target, source::encoded};

/// Opens a directory that the operator or an administrator has named, by its path. Made in `main`, which alone has
/// that authority.
pub type OpenDirectory = Arc<dyn Fn(&Path) -> io::Result<Dir> + Send + Sync>;

/// A copy of a repository's targets on this device.
#[derive(Clone)]
pub(super) struct LocalCopy {
    pub(super) path: PathBuf,
    pub(super) open: OpenDirectory,
}

impl fmt::Debug for LocalCopy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LocalCopy").field(&self.path).finish()
    }
}

/// One place.
#[derive(Debug)]
pub enum Place {
    /// A file in a directory. What belongs beside it has its name and a suffix.
    Local {
        /// The directory.
        directory: Dir,
        /// Its path, for people.
        path: PathBuf,
        /// The file in it; parts of its path are separated by `/`.
        file: String,
    },
    /// A file on a server. What belongs beside it has its path and a suffix.
    Server {
        /// Its URL.
        url: Url,
        /// The operator's base of it: nothing but what is below may be fetched on this place's account.
        base: Url,
    },
}

impl Repositories {
    /// The places of a target, the nearest first: directories that are there now, the repository's server, mirrors.
    pub async fn places(&self, target: &Target) -> Vec<Place> {
        let Ok(repository) = self.one(&target.repository) else { return Vec::new() };
        let path: Vec<String> = repository.file_of(&target.file()).split('/').map(encoded).collect();
        let path = path.join("/");
        let mut places = local(repository.copies.to_vec(), &path).await;
        for base in std::iter::once(&repository.targets).chain(repository.mirrors.iter()) {
            match base.join(&path) {
                Ok(url) if url.as_str().starts_with(base.as_str()) => {
                    places.push(Place::Server { url, base: base.clone() });
                }
                _ => {
                    tracing::warn!(repository = target.repository, %base, path, "the name leads out of the base")
                }
            }
        }
        places
    }
}

async fn local(copies: Vec<LocalCopy>, file: &str) -> Vec<Place> {
    let file = file.to_owned();
    let opened = crate::disk::blocking(move || {
        let opened = copies.into_iter().filter_map(|LocalCopy { path, open }| match open(&path) {
            Ok(directory) => Some(Place::Local { directory, path, file: file.clone() }),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no local copy of the targets there now");
                None
            }
        });
        opened.collect()
    });
    opened.await.unwrap_or_default()
}
