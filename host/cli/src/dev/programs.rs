//! The other programs of Hotshoe: beside this one, or in `PATH`.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::failure::{Exit, Failure};

/// Where the programs lie.
pub(super) struct Programs {
    pub(super) hotshoe: PathBuf,
    pub(super) localhub: PathBuf,
    pub(super) hotshoed: PathBuf,
    pub(super) bootsim: PathBuf,
    pub(super) aot: PathBuf,
}

impl Programs {
    /// Finds all, or names the one that is missing.
    pub(super) fn find() -> Result<Self, Failure> {
        let hotshoe = env::current_exe().map_err(|error| {
            Failure::new(Exit::OsError, format!("could not tell where hotshoe lies: {error}"))
        })?;
        let beside = hotshoe.parent().unwrap_or(Path::new(".")).to_owned();
        let find = |name: &str| {
            let path = env::var_os("PATH").unwrap_or_default();
            let places = std::iter::once(beside.clone()).chain(env::split_paths(&path).collect::<Vec<_>>());
            places.map(|place| place.join(name)).find(|file| file.is_file()).ok_or_else(|| {
                Failure::new(Exit::Unavailable, format!("the program {name} is not there"))
                    .hint(format!("put it beside {} or in PATH", hotshoe.display()))
            })
        };
        Ok(Programs {
            localhub: find("hotshoe-localhub")?,
            hotshoed: find("hotshoed")?,
            bootsim: find("hotshoe-bootsim")?,
            aot: find("hotshoe-aot")?,
            hotshoe: hotshoe.clone(),
        })
    }
}

/// A program that did not start.
pub(super) fn failed(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("could not start {name}: {error}"))
}
