//! The hubs that were logged in to: names, connection strings, authorities.
//!
//! One file, `profiles.toml` in the user's configuration directory, readable by its owner alone; a file that others may
//! read is refused as `ssh` does, since its secrets may be known. It is replaced whole. An authority is copied into
//! it, so that a profile works from any directory and when the file it came from has gone. Errors never repeat what
//! the file holds.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Exit, Failure},
    files,
};

/// The profiles of a user.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The one that is used where nothing else is said.
    pub(crate) default: Option<String>,
    /// All of them by name.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// One hub, as one operator. Not `Debug`: it holds a secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The operator's connection string.
    pub(crate) connection_string: String,
    /// Certificates (PEM) to trust beside those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
}

/// Where the profiles of this user are: `$XDG_CONFIG_HOME/hotshoe/profiles.toml`, or below `~/.config`.
pub(crate) fn place() -> Result<PathBuf, Failure> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    directory("XDG_CONFIG_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".config")))
        .map(|configuration| configuration.join("hotshoe").join("profiles.toml"))
        .ok_or_else(|| {
            Failure::new(
                Exit::Config,
                "there is no place for profiles: neither XDG_CONFIG_HOME nor HOME is set",
            )
        })
}

impl Profiles {
    /// Reads them; none where there is no file yet.
    pub(crate) fn load(path: &Path) -> Result<Profiles, Failure> {
        let shown = path.display();
        let failed =
            |error: std::io::Error| Failure::new(Exit::NoInput, format!("could not read {shown}: {error}"));
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => return Err(failed(error)),
        };
        if mode & 0o077 != 0 {
            let text = format!("{shown} holds keys and others may read it (mode {mode:03o})");
            return Err(Failure::new(Exit::Config, text)
                .hint(format!("chmod 600 {shown}; were they seen, make new ones")));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        // The line's number alone: an error's text quotes what stands there, and that may be a key.
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Failure::new(
                Exit::Config,
                format!("{shown} does not read: line {line} is not what belongs there"),
            )
            .hint("`hotshoe login` writes it; remove the file to begin anew")
        })
    }

    /// Writes them, for this user alone.
    pub(crate) fn store(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| {
            Failure::new(Exit::Software, format!("could not write the profiles: {error}"))
        })?;
        files::replace(path, text.as_bytes(), files::SECRET)
    }

    /// The profile of that name.
    pub(crate) fn named(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| {
            let hint = match self.profiles.keys().map(String::as_str).collect::<Vec<_>>().as_slice() {
                [] => "`hotshoe login` makes one".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            Failure::new(Exit::Config, format!("there is no profile {name:?}")).hint(hint)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "c2VjcmV0c2VjcmV0";

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("profiles.toml");
        files::replace(&path, text.as_bytes(), mode).unwrap();
        (directory, path)
    }

    #[test]
    fn what_is_stored_is_read_again_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hotshoe/profiles.toml");
        assert!(Profiles::load(&path).unwrap().profiles.is_empty());
        let profile =
            Profile { connection_string: SECRET.to_owned(), ca: Some("-----\nx\n-----".to_owned()) };
        let mut profiles = Profiles::default();
        profiles.profiles.insert("lab".to_owned(), profile);
        profiles.store(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Profiles::load(&path).unwrap();
        assert_eq!(read.named("lab").map(|profile| profile.connection_string.as_str()).ok(), Some(SECRET));
        assert!(read.named("home").is_err_and(|failure| failure.hint.as_deref() == Some("there are lab")));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_directory, path) = written("", 0o640);
        let failure = Profiles::load(&path).err().unwrap();
        assert!(failure.text.contains("others may read it (mode 640)"), "{failure}");
    }

    #[test]
    fn an_error_does_not_quote_the_file() {
        for wrong in [format!("[profiles.a]\nconnection_string = \"{SECRET}"), format!("{SECRET} = 1")] {
            let (_directory, path) = written(&wrong, 0o600);
            let failure = Profiles::load(&path).err().unwrap();
            assert!(!failure.text.contains(SECRET), "{failure}");
        }
    }
}
