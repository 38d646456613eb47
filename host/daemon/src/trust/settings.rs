//! What the repositories are opened with.

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::RootCertStore;
use tokio::sync::Mutex;
use url::Url;

use super::{
    OpenDirectory, Repositories, TrustError,
    places::LocalCopy,
    repository::Repository,
    source::{Server, Source},
    store::Store,
    trusted::Trusted,
};
use crate::{
    fetch::{Clock, FetchSettings, Reader, Scheme},
    state::StateDir,
};

/// One repository.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-`. What is trusted is kept under it.
    pub name: String,
    /// The root that the device was shipped with: a `root.json`.
    pub root: Vec<u8>,
    /// Where its metadata is.
    pub metadata: Url,
    /// Where its targets are; a URL below is one of them.
    pub targets: Url,
    /// Where its targets are as well; not asked for before the device knows what is signed.
    pub mirrors: Vec<Url>,
    /// Directories with copies of its targets, which may come and go.
    pub directories: Vec<PathBuf>,
}

/// How a repository's server names the files of targets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum FileNames {
    /// As the targets are called, so that a target's URL can be told from its name.
    #[default]
    Plain,
    /// With the digest in front, as the specification has it for consistent snapshots.
    ByDigest,
}

/// What the repositories are opened with.
#[derive(Clone)]
pub struct TrustSettings {
    /// The repositories, the most trusted one first.
    pub repositories: Vec<RepositorySettings>,
    /// The ids of this device's hardware.
    pub hardware: Vec<String>,
    /// Who may vouch for servers.
    pub roots: Arc<RootCertStore>,
    /// How patient a single request is.
    pub fetch: FetchSettings,
    /// The clock, in seconds since 1970.
    pub clock: Clock,
    /// When this program was made, in seconds since 1970: it cannot be earlier.
    pub built: u64,
    /// How long an answer of a server holds before it is asked again.
    pub fresh_for: Duration,
    /// How long the refresh of one repository may take, and then each file of it.
    pub patience: Duration,
    /// Which servers are talked to.
    pub scheme: Scheme,
    /// How files of targets are called.
    pub file_names: FileNames,
    /// Whether what was verified before goes on to hold where a repository cannot be reached.
    pub fallback: bool,
    /// Opens the directories with copies of targets.
    pub open: OpenDirectory,
}

impl TrustSettings {
    /// These repositories, with usual patience.
    pub fn new(
        repositories: Vec<RepositorySettings>,
        hardware: Vec<String>,
        roots: Arc<RootCertStore>,
        clock: Clock,
        built: u64,
    ) -> Self {
        Self {
            repositories,
            hardware,
            roots,
            fetch: FetchSettings::default(),
            clock,
            built,
            fresh_for: Duration::from_secs(60),
            patience: Duration::from_secs(120),
            scheme: Scheme::Https,
            file_names: FileNames::Plain,
            fallback: true,
            open: Arc::new(|_| Err(io::ErrorKind::PermissionDenied.into())),
        }
    }
}

/// The hosts of these repositories, their mirrors among them.
pub fn hosts(repositories: &[RepositorySettings]) -> BTreeSet<String> {
    let bases = |repository: &RepositorySettings| {
        let own = [repository.metadata.clone(), repository.targets.clone()];
        own.into_iter().chain(repository.mirrors.clone()).collect::<Vec<Url>>()
    };
    let named = repositories.iter().flat_map(bases);
    named.filter_map(|base| base.host_str().map(str::to_owned)).collect()
}

/// Whether a text can be a repository's name.
pub(crate) fn is_repository_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

/// Whether bytes are a root that is signed by its own keys.
pub(crate) fn check_root(bytes: &[u8]) -> Result<(), TrustError> {
    Trusted::begin("", bytes).map(drop)
}

pub(super) fn open(settings: TrustSettings, state: &StateDir) -> Result<Repositories, TrustError> {
    let TrustSettings { clock, built, .. } = settings;
    let clock: Clock = Arc::new(move || clock().max(built));
    let fetch = FetchSettings { clock: Some(Arc::clone(&clock)), ..settings.fetch };
    let mut list: Vec<Repository> = Vec::new();
    for RepositorySettings { name, root, metadata, targets, mirrors, directories } in settings.repositories {
        let refused =
            |reason: String| TrustError::Settings { repository: name.chars().take(80).collect(), reason };
        if !is_repository_name(&name) {
            return Err(refused("its name is not 1 to 64 of a-z, 0-9 and `-`".to_owned()));
        }
        if list.iter().any(|other| other.name == name) {
            return Err(refused("another one has this name".to_owned()));
        }
        Trusted::begin(&name, &root)?;
        let reader = Reader::new(Arc::clone(&settings.roots), &fetch, settings.patience, settings.scheme);
        let reader = reader.map_err(|error| refused(error.to_string()))?;
        let targets = base(targets);
        list.push(Repository {
            source: Source::Network(Box::new(Server {
                reader,
                metadata: base(metadata),
                targets: targets.clone(),
            })),
            targets,
            mirrors: mirrors.into_iter().map(base).collect(),
            copies: directories
                .into_iter()
                .map(|path| LocalCopy { path, open: Arc::clone(&settings.open) })
                .collect(),
            root: root.into(),
            by_digest: settings.file_names == FileNames::ByDigest,
            store: Store::new(state.subdirectory(&name)?),
            clock: Arc::clone(&clock),
            fresh_for: settings.fresh_for,
            patience: settings.patience,
            fallback: settings.fallback,
            asked: Arc::new(Mutex::new(None)),
            name,
        });
    }
    Ok(Repositories { list: list.into(), hardware: settings.hardware.into() })
}

/// The URL as a base: with `/` at its end, and nothing behind.
fn base(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}
