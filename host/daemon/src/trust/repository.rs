//! One repository: its metadata brought up to date, and what it then says.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};
use tough::schema;
use url::Url;

use super::{
    SignedFile, TrustError,
    places::LocalCopy,
    refresh::{Update, Verified},
    search::Search,
    source::Source,
    store::{Kept, Store},
};
use crate::fetch::Clock;

/// One repository from one source. Clones share what is trusted.
#[derive(Clone)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) targets: Url,
    pub(super) mirrors: Arc<[Url]>,
    pub(super) copies: Arc<[LocalCopy]>,
    pub(super) root: Arc<[u8]>,
    pub(super) source: Source,
    pub(super) by_digest: bool,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) fresh_for: Duration,
    pub(super) patience: Duration,
    pub(super) fallback: bool,
    /// When its server was asked last, with success. Held while what is trusted changes.
    pub(super) asked: Arc<Mutex<Option<Instant>>>,
}

impl Repository {
    /// Brings the metadata up to date. Where the repository cannot be reached, what was verified before and has not
    /// expired still holds; what it says and must not be believed never falls back to that.
    pub(super) async fn current(&self) -> Result<Verified, TrustError> {
        let mut asked = self.asked.lock().await;
        let update = self.update();
        let from_network = matches!(self.source, Source::Network(_));
        if from_network
            && asked.is_some_and(|asked| asked.elapsed() < self.fresh_for)
            && let Ok(verified) = update.recall().await
        {
            return Ok(verified);
        }
        let refreshed = tokio::time::timeout(self.patience, update.refresh(&self.source)).await;
        let error = match refreshed {
            Ok(Ok(verified)) => {
                if from_network {
                    *asked = Some(Instant::now());
                }
                return Ok(verified);
            }
            Ok(Err(error @ TrustError::Unreachable { .. })) => error,
            Ok(Err(error)) => {
                tracing::error!(repository = self.name, code = error.code(), %error, "the repository is not believed");
                return Err(error);
            }
            Err(_) => TrustError::Unreachable {
                repository: self.name.clone(),
                reason: format!("its metadata did not come within {} s", self.patience.as_secs()),
            },
        };
        if !self.fallback {
            return Err(error);
        }
        match update.recall().await {
            Ok(verified) => {
                tracing::warn!(
                    repository = self.name, %error,
                    "the repository cannot be reached; going by what was verified before and has not expired"
                );
                Ok(verified)
            }
            Err(frozen @ TrustError::Freeze { .. }) => {
                tracing::error!(repository = self.name, %error, %frozen, "the repository cannot be reached");
                Err(frozen)
            }
            Err(_) => Err(error),
        }
    }

    fn update(&self) -> Update<'_> {
        Update { repository: &self.name, root: &self.root, store: &self.store, now: (self.clock)() }
    }

    /// What can be looked up in it now.
    pub(super) fn search<'a>(&'a self, verified: &'a Verified) -> Search<'a> {
        Search {
            trusted: &verified.trusted,
            store: &self.store,
            source: Some(&self.source),
            now: verified.now,
        }
    }

    /// A target by its name.
    pub(super) async fn target(&self, name: &str) -> Result<schema::Target, TrustError> {
        let verified = self.current().await?;
        let search = self.search(&verified);
        if let Some(target) = search.find(name).await? {
            return Ok(target);
        }
        Err(TrustError::UnknownTarget { repository: self.name.clone(), target: name.to_owned() })
    }

    /// Why a target was not found: somebody speaks of it who may not, or nobody does.
    pub(super) async fn why_unknown(&self, name: &str) -> TrustError {
        let outside = async {
            let verified = self.current().await?;
            self.search(&verified).outside(name).await
        };
        let (repository, target) = (self.name.clone(), name.to_owned());
        match outside.await {
            Ok(Some(role)) => {
                let role = super::Role { repository, name: role };
                TrustError::OutsideDelegation { role, target }
            }
            _ => TrustError::UnknownTarget { repository, target },
        }
    }

    /// The bytes of a file, of the length that is signed. Their digest is for the caller to check.
    pub(super) async fn bytes(&self, file: &SignedFile) -> Result<Vec<u8>, TrustError> {
        let bytes = self.source.target(&self.name, &self.file_of(file), file.length).await?;
        bytes.ok_or_else(|| TrustError::Unreachable {
            repository: self.name.clone(),
            reason: format!("it has no file for its target `{}`", file.name),
        })
    }

    /// What the server calls a target's file.
    pub(super) fn file_of(&self, file: &SignedFile) -> String {
        if self.by_digest { by_digest(file) } else { file.name.clone() }
    }

    pub(super) async fn kept(&self) -> Result<Vec<Kept>, TrustError> {
        self.store.all().await
    }
}

/// `images/acme/<digest>.fw.img`: how repositories with consistent snapshots may name files (specification 6.2).
fn by_digest(file: &SignedFile) -> String {
    let hex = file.digest.hex();
    match file.name.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{hex}.{name}"),
        None => format!("{hex}.{}", file.name),
    }
}
