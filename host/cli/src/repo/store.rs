//! A repository on the disk, and what of it is the newest.
//!
//! `metadata/` holds every version of every role under a name of its own (`3.targets.json`), written once and never
//! changed, and `timestamp.json`, the one file that changes: whichever snapshot it names is what devices see. So whatever
//! breaks off before it is replaced has changed nothing for them. `targets/` holds the files by their plain names.

use std::{
    fs::{self, File, TryLockError},
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use hotshoe_core::target::TargetName;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tough::schema::{
    DelegatedRole, Delegations, Hashes, Metafile, Root, Signed, Snapshot, Targets, Timestamp,
};

use super::sign;
use crate::{
    args::Place,
    failure::{Exit, Failure},
    files,
};

/// What metadata files say they follow.
pub(super) const SPECIFICATION: &str = "1.0.0";

/// A repository, for one command at a time.
pub(super) struct Store {
    pub(super) directory: PathBuf,
    pub(super) keys: PathBuf,
    /// Held as long as the store is.
    _lock: File,
}

/// What devices see now.
pub(super) struct Published {
    pub(super) timestamp: Timestamp,
    pub(super) snapshot: Snapshot,
}

impl Store {
    /// Opens a repository that is there.
    pub(super) fn open(place: &Place) -> Result<Self, Failure> {
        let store = Store::at(place)?;
        if !store.metadata("1.root.json").is_file() {
            let text = format!("{} is no repository: it has no metadata/1.root.json", place.repo.display());
            return Err(Failure::new(Exit::NoInput, text)
                .hint("name one with --repo DIR, or make one: hotshoe repo init --repo DIR"));
        }
        Ok(store)
    }

    /// Takes a directory, whatever is in it. Keys within what is served would be served too.
    pub(super) fn at(place: &Place) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::CantCreate, format!("could not use {}: {error}", place.repo.display()))
        };
        fs::create_dir_all(&place.repo).map_err(failed)?;
        let directory = fs::canonicalize(&place.repo).map_err(failed)?;
        let keys = match &place.keys {
            Some(keys) => std::path::absolute(keys).map_err(failed)?,
            None => {
                let mut name = directory.clone().into_os_string();
                name.push(".keys");
                PathBuf::from(name)
            }
        };
        if keys.starts_with(&directory) {
            let text = format!("the keys may not lie within the repository: {}", keys.display());
            return Err(Failure::new(Exit::Usage, text).hint("what serves the repository would serve them"));
        }
        let lock = File::create(directory.join(".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Store { directory, keys, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another hotshoe repo is at work in {}", directory.display());
                Err(Failure::new(Exit::TempFail, text))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where a file of metadata lies.
    pub(super) fn metadata(&self, file: &str) -> PathBuf {
        self.directory.join("metadata").join(file)
    }

    /// Where a target's file lies.
    pub(super) fn target(&self, name: &TargetName) -> PathBuf {
        self.directory.join("targets").join(name.to_string())
    }

    /// The newest root.
    pub(super) fn root(&self) -> Result<Signed<Root>, Failure> {
        let root: Signed<Root> = self.required("root")?;
        root.signed.verify_role(&root).map_err(|error| unsound("root", &error))?;
        Ok(root)
    }

    /// The newest list of targets, published or not.
    pub(super) fn targets(&self, root: &Root) -> Result<Signed<Targets>, Failure> {
        let targets: Signed<Targets> = self.required("targets")?;
        root.verify_role(&targets).map_err(|error| {
            unsound("targets", &error)
                .hint("sign it again with its present key: hotshoe repo refresh --role targets")
        })?;
        Ok(targets)
    }

    /// The newest list of a delegated role, published or not; none where it has signed nothing yet.
    pub(super) fn delegated(
        &self,
        delegations: &Delegations,
        role: &str,
    ) -> Result<Option<Signed<Targets>>, Failure> {
        let Some(targets) = self.newest::<Signed<Targets>>(role)? else { return Ok(None) };
        delegations.verify_role(&targets, role).map_err(|error| {
            unsound(role, &error).hint(format!(
                "sign it again with its present key: hotshoe repo refresh --role {role} --key KEY"
            ))
        })?;
        Ok(Some(targets))
    }

    /// The newest list of a role, whoever signed it.
    pub(super) fn unproven(&self, role: &str) -> Result<Option<Signed<Targets>>, Failure> {
        self.newest(role)
    }

    /// What devices see now; none before the first `publish`.
    pub(super) fn published(&self) -> Result<Option<Published>, Failure> {
        let file = self.metadata("timestamp.json");
        if !file.exists() {
            return Ok(None);
        }
        let timestamp: Signed<Timestamp> = read(&file)?;
        let version = timestamp.signed.meta.get("snapshot.json").map_or(NonZeroU64::MIN, |meta| meta.version);
        let snapshot: Signed<Snapshot> = read(&self.metadata(&format!("{version}.snapshot.json")))?;
        Ok(Some(Published { timestamp: timestamp.signed, snapshot: snapshot.signed }))
    }

    /// The highest version of a role that was ever written.
    pub(super) fn version(&self, role: &str) -> Option<NonZeroU64> {
        let tail = format!(".{role}.json");
        let entries = fs::read_dir(self.directory.join("metadata")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(&tail)?.parse().ok()).max()
    }

    /// The version to write next.
    pub(super) fn next(&self, role: &str) -> NonZeroU64 {
        self.version(role).map_or(NonZeroU64::MIN, sign::next)
    }

    /// Writes metadata under a name that nobody reads yet, or the timestamp in place of the older one. Returns what the
    /// metadata above it says about the file.
    pub(super) fn write<T: Serialize>(
        &self,
        file: &str,
        version: NonZeroU64,
        signed: &Signed<T>,
    ) -> Result<Metafile, Failure> {
        let bytes = sign::file(signed, file)?;
        files::replace(&self.metadata(file), &bytes, files::READABLE)?;
        Ok(metafile(version, &bytes))
    }

    /// What the metadata above says about the newest file of a role.
    pub(super) fn metafile(&self, role: &str, version: NonZeroU64) -> Result<Metafile, Failure> {
        let file = self.metadata(&format!("{version}.{role}.json"));
        let bytes = fs::read(&file).map_err(|error| missing(&file, &error))?;
        Ok(metafile(version, &bytes))
    }

    fn required<T: DeserializeOwned>(&self, role: &str) -> Result<T, Failure> {
        self.newest(role)?.ok_or_else(|| {
            let text = format!("{} has no metadata of the role {role}", self.directory.display());
            Failure::new(Exit::NoInput, text)
        })
    }

    fn newest<T: DeserializeOwned>(&self, role: &str) -> Result<Option<T>, Failure> {
        let Some(version) = self.version(role) else { return Ok(None) };
        read(&self.metadata(&format!("{version}.{role}.json"))).map(Some)
    }
}

/// The delegations of the list of targets.
pub(super) fn delegations(targets: &Targets) -> Delegations {
    targets.delegations.clone().unwrap_or_default()
}

/// A delegated role by its name.
pub(super) fn delegation<'a>(delegations: &'a Delegations, name: &str) -> Result<&'a DelegatedRole, Failure> {
    delegations.roles.iter().find(|role| role.name == name).ok_or_else(|| {
        let known: Vec<&str> = delegations.roles.iter().map(|role| role.name.as_str()).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        Failure::new(Exit::NoInput, format!("no role {name} is delegated: {known}"))
            .hint(format!("hotshoe repo delegate {name} --paths PREFIX --key KEY.pub"))
    })
}

/// What the metadata above says about a file.
pub(super) fn metafile(version: NonZeroU64, bytes: &[u8]) -> Metafile {
    let sha256 = Sha256::digest(bytes).to_vec().into();
    let hashes = Some(Hashes { sha256, _extra: Default::default() });
    Metafile { length: Some(bytes.len() as u64), hashes, version, _extra: Default::default() }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    let bytes = fs::read(file).map_err(|error| missing(file, &error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(Exit::Data, format!("{} is damaged: {error}", file.display())))
}

fn missing(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()))
}

fn unsound(role: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Data, format!("the newest metadata of {role} is not signed as it must be: {error}"))
}
