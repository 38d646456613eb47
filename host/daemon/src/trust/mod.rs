//! Trust: signed repositories of plugins and firmware images, by The Update Framework.
//!
//! Promise: a [`Target`] that comes out of here was signed, at this moment as far as this device can know, by roles to
//! which the repository's root leads; the device has never seen a newer word on it; it fits the device; and the bytes
//! that [`Repositories::read`] returns are those. Whatever a server, a mirror, a network or a USB stick does instead is
//! refused with an error that names the attack ([`TrustError`]). Memory, disk and time that it can cost are bounded.
//!
//! Why TUF: keys get lost and stolen. Thresholds, rotation of the root and roles that are limited to a vendor's prefix
//! survive that; a signature beside a file does not. Why the workflow over `tough`'s types and not its `Repository`: it
//! asks the system's clock, writes in place without flushing, and loads every role before the first look-up
//! (docs/decisions/0090-verifying-over-tough.md).
//!
//! What is trusted is durable before it is used, so a power cut between any two steps leaves a device that goes on.
//! A repository that cannot be reached is not an attack: what was verified and has not expired goes on to hold.
//!
//! It does not fetch images (`fetch` and `receive` do, with digest, size and places from here), knows nothing of the policy for unsigned
//! ones, and keeps no floors for versions of targets, only TUF's own for metadata.

mod error;
mod metadata;
mod pattern;
mod places;
mod refresh;
mod repository;
mod search;
mod settings;
mod source;
mod store;
mod target;
mod trusted;

use std::sync::Arc;

use cap_std::fs::Dir;
use hotshoe_core::{
    digest::Digest,
    manifest::PluginName,
    target::{Kind, TargetName},
};
use semver::Version;
use url::Url;

use crate::state::StateDir;
use repository::Repository;
use source::Source;

pub use error::{Role, TrustError};
pub use places::{OpenDirectory, Place};
pub use settings::{FileNames, RepositorySettings, TrustSettings, hosts};
pub(crate) use settings::{check_root, is_repository_name};
pub use store::Kept;
pub use target::{SignedFile, Target};

/// The largest plugin that is read, in bytes; more than the engine takes.
const PLUGIN_LIMIT: u64 = 64 * 1024 * 1024;

/// The repositories of the device. Cheap to clone; clones share what is trusted.
#[derive(Clone)]
pub struct Repositories {
    list: Arc<[Repository]>,
    hardware: Arc<[String]>,
}

impl Repositories {
    /// Opens the repositories; asks no server yet. What is trusted stands in `state`, a directory for each.
    ///
    /// # Errors
    /// A setting that cannot be, or a disk that refuses.
    pub fn open(settings: TrustSettings, state: &StateDir) -> Result<Self, TrustError> {
        settings::open(settings, state)
    }

    /// A device without repositories.
    pub fn none() -> Self {
        Self { list: Arc::new([]), hardware: Arc::new([]) }
    }

    /// Their names, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|repository| repository.name.as_str())
    }

    /// The same repositories, with the same trust, whose files come from a directory: `metadata` and `targets` in it,
    /// or in a directory in it that has the repository's name.
    ///
    /// # Errors
    /// The directory does not open.
    pub fn offline(&self, directory: &Dir) -> Result<Self, TrustError> {
        let list = self.list.iter().map(|repository| {
            let opened = match directory.is_dir(&repository.name) {
                true => directory.open_dir(&repository.name),
                false => directory.try_clone(),
            };
            let opened = opened.map_err(|error| TrustError::Unreachable {
                repository: repository.name.clone(),
                reason: error.to_string(),
            })?;
            Ok(Repository { source: Source::Directory(Arc::new(opened)), ..repository.clone() })
        });
        Ok(Self { list: list.collect::<Result<_, TrustError>>()?, hardware: Arc::clone(&self.hardware) })
    }

    /// The target that a URL names, if it stands under the targets of a repository; none if no repository covers it.
    ///
    /// # Errors
    /// A URL that is covered and is not a signed target is refused: it is never taken for an unsigned file.
    pub async fn resolve(&self, url: &Url) -> Result<Option<Target>, TrustError> {
        let covering =
            self.list.iter().filter_map(|repository| Some((repository, below(&repository.targets, url)?)));
        let Some((repository, name)) = covering.min_by_key(|(_, name)| name.len()) else { return Ok(None) };
        match name.parse() {
            Ok(name) => self.find(repository, &name).await.map(Some),
            Err(error) => {
                tracing::info!(repository = repository.name, %error, "a URL under its targets");
                let (repository, target) = (repository.name.clone(), name);
                Err(TrustError::UnknownTarget { repository, target })
            }
        }
    }

    /// A plugin in a version; the newest where none is named, apart from pre-releases.
    ///
    /// Without a repository each is asked in the order of the configuration, and the first that has it wins: what the
    /// operator put first cannot be overruled by one that comes later.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub async fn plugin(
        &self,
        repository: Option<&str>,
        name: &PluginName,
        version: Option<&Version>,
    ) -> Result<Target, TrustError> {
        let mut unknown = None;
        for repository in self.chosen(repository)? {
            let found = match version {
                Some(version) => {
                    let name = TargetName::Plugin { name: name.clone(), version: version.clone() };
                    self.find(repository, &name).await
                }
                None => self.newest(repository, name).await,
            };
            match found {
                Err(error @ TrustError::UnknownTarget { .. }) => unknown = Some(error),
                other => return other,
            }
        }
        Err(unknown.unwrap_or_else(|| self.unknown_repository("")))
    }

    /// Whether signed metadata knows a file that came from elsewhere, and says that it fits this device.
    ///
    /// Repositories that cannot be believed are left out, with an error in the log.
    ///
    /// # Errors
    /// Nobody vouches, and what one of them had said could not be read from the disk: nobody knows then.
    pub async fn vouch(&self, digest: &Digest) -> Result<Option<Target>, TrustError> {
        let mut unread = None;
        for repository in self.list.iter() {
            match self.vouched(repository, digest).await {
                Ok(Some(target)) => return Ok(Some(target)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(repository = repository.name, %digest, %error, "not asked about a file");
                    if let TrustError::State(_) = error {
                        unread = Some(error);
                    }
                }
            }
        }
        unread.map_or(Ok(None), Err)
    }

    /// The bytes of a plugin's target, verified. At most 64 MiB.
    ///
    /// # Errors
    /// See [`TrustError`]; bytes that are not those that were signed are dropped.
    pub async fn read(&self, target: &Target) -> Result<Vec<u8>, TrustError> {
        self.verified(&target.file(), &target.custom.digests).await
    }

    /// Brings the metadata of a repository up to date.
    ///
    /// # Errors
    /// See [`TrustError`]. A repository that cannot be reached is well while what was verified before holds.
    pub async fn refresh(&self, repository: &str) -> Result<(), TrustError> {
        self.one(repository)?.current().await.map(drop)
    }

    /// Any signed file by its name, without what this device asks of plugins and images.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub async fn file(&self, repository: &str, name: &str) -> Result<SignedFile, TrustError> {
        let repository = self.one(repository)?;
        target::file(&repository.name, name, &repository.target(name).await?)
    }

    /// Its bytes, verified. At most 64 MiB.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub async fn bytes(&self, file: &SignedFile) -> Result<Vec<u8>, TrustError> {
        self.verified(file, &[]).await
    }

    /// What this device keeps of a repository's metadata, for people to look at.
    ///
    /// # Errors
    /// There is no such repository, or the disk refuses.
    pub async fn kept(&self, repository: &str) -> Result<Vec<Kept>, TrustError> {
        self.one(repository)?.kept().await
    }

    async fn verified(&self, file: &SignedFile, further: &[Digest]) -> Result<Vec<u8>, TrustError> {
        if file.length > PLUGIN_LIMIT {
            let (target, length) = (file.name.clone(), file.length);
            return Err(TrustError::TooLarge { target, length, limit: PLUGIN_LIMIT });
        }
        let bytes = self.one(&file.repository)?.bytes(file).await?;
        target::check(file, further, &bytes)?;
        Ok(bytes)
    }

    async fn find(&self, repository: &Repository, name: &TargetName) -> Result<Target, TrustError> {
        let text = name.to_string();
        match repository.target(&text).await {
            Ok(target) => target::ours(&repository.name, name, &target, &self.hardware),
            Err(TrustError::UnknownTarget { .. }) => Err(repository.why_unknown(&text).await),
            Err(error) => Err(error),
        }
    }

    /// The newest version that is signed and fits this device.
    async fn newest(&self, repository: &Repository, plugin: &PluginName) -> Result<Target, TrustError> {
        let folder = format!("plugins/{plugin}");
        let verified = repository.current().await?;
        let search = repository.search(&verified);
        let names = search.names_below(&folder).await?;
        let mut names: Vec<(Version, TargetName)> = names
            .iter()
            .filter_map(|name| match name.parse().ok()? {
                TargetName::Plugin { name, version } if version.pre.is_empty() => {
                    Some((version.clone(), TargetName::Plugin { name, version }))
                }
                _ => None,
            })
            .collect();
        names.sort_by(|(one, _), (other, _)| other.cmp(one));
        let mut unfit = None;
        for (_, name) in names {
            let Some(target) = search.find(&name.to_string()).await? else { continue };
            match target::ours(&repository.name, &name, &target, &self.hardware) {
                Err(error @ TrustError::WrongHardware { .. }) => unfit = unfit.or(Some(error)),
                other => return other,
            }
        }
        Err(unfit.unwrap_or_else(|| TrustError::UnknownTarget {
            repository: repository.name.clone(),
            target: format!("{folder}/*.wasm"),
        }))
    }

    async fn vouched(&self, repository: &Repository, digest: &Digest) -> Result<Option<Target>, TrustError> {
        let verified = repository.current().await?;
        let search = repository.search(&verified);
        let text = digest.to_string();
        let names = search
            .names_of(|target| {
                let further = target.custom.get("digests").and_then(|digests| digests.as_array());
                *target.hashes.sha256 == digest.bytes
                    || further
                        .is_some_and(|further| further.iter().any(|other| other.as_str() == Some(&text)))
            })
            .await?;
        for name in names.iter().filter_map(|name| name.parse::<TargetName>().ok()) {
            let Some(target) = search.find(&name.to_string()).await? else { continue };
            match target::ours(&repository.name, &name, &target, &self.hardware) {
                Ok(target) if target.digest_by(digest.algorithm) == Some(digest) => return Ok(Some(target)),
                Ok(_) => {}
                Err(error) => tracing::info!(%digest, %error, "a signed target does not vouch here"),
            }
        }
        Ok(None)
    }

    fn chosen(&self, repository: Option<&str>) -> Result<&[Repository], TrustError> {
        match repository {
            Some(name) => Ok(std::slice::from_ref(self.one(name)?)),
            None => Ok(&self.list),
        }
    }

    fn one(&self, name: &str) -> Result<&Repository, TrustError> {
        let found = self.list.iter().find(|repository| repository.name == name);
        found.ok_or_else(|| self.unknown_repository(name))
    }

    fn unknown_repository(&self, name: &str) -> TrustError {
        let known: Vec<&str> = self.names().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        TrustError::UnknownRepository { name: name.chars().take(80).collect(), known }
    }
}

impl Target {
    /// Whether it is a firmware image.
    pub fn is_firmware(&self) -> bool {
        self.custom.kind == Kind::Firmware
    }
}

/// What of a URL is below a base that ends with `/`; whatever it asks for beside (`?sig=…`) does not matter.
fn below(base: &Url, url: &Url) -> Option<String> {
    let same = base.scheme() == url.scheme()
        && base.host_str() == url.host_str()
        && base.port_or_known_default() == url.port_or_known_default();
    let rest = url.path().strip_prefix(base.path())?;
    (same && !rest.is_empty()).then(|| rest.to_owned())
}
