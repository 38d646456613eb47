//! Files from the network into the artifact store.
//!
//! Promise: what [`Fetcher::fetch`] returns is whole, verified and durable; what it does not return left nothing
//! behind but a resumable beginning. Only `https`, only where the caller's `allow` says yes, redirects included, and
//! never a byte through a proxy or a decoder nobody asked for; names lead to public addresses or where the operator
//! said. A server may lie, stall, drip, break off or change its mind: the fetch ends in bounded time with the right
//! bytes or an error that names the cause, and takes neither more memory nor more disk than the store allows.
//!
//! Why redirects by hand: each hop is a new URL that the grant must cover. Why the digest while writing: a second
//! pass over a gigabyte on an eMMC takes a minute. Why a thread that writes beside the task that receives: the
//! slower of network and disk sets the pace, not their sum.
//!
//! It does not decide what is trusted ([`Trust`] comes in) and keeps nothing itself ([`ArtifactStore`] does).

pub mod answer;
mod attempt;
pub(crate) mod client;
pub(crate) mod error;
mod resolve;
mod settings;
mod sidecar;
mod small;
pub(crate) mod transfer;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hotshoe_core::{digest::Digest, policy::Unsigned};
use prometheus_client::metrics::counter::Counter;
use rustls::RootCertStore;
use url::Url;

use crate::artifact::{Artifact, ArtifactError, ArtifactStore, Key, Vouched};
use client::Client;

pub use error::FetchError;
pub use resolve::Lookup;
pub use settings::{Clock, FetchSettings};
pub use sidecar::digest_beside;
pub use small::{ReadError, Reader, Scheme};

/// Whether a URL may be fetched; the text says why not, for the plugin's vendor.
pub type Allow = dyn Fn(&Url) -> Result<(), String> + Send + Sync;

/// Told the bytes that are there and how many there will be, at most once a second and once at the end.
pub type Progress = dyn Fn(u64, Option<u64>) + Send + Sync;

/// Counts the bytes that come over a link, and says when no more may.
pub trait Meter: Send + Sync + 'static {
    /// Counts bytes that have come. An error says that no more may come now, and why.
    fn count(&self, bytes: u64) -> BoxFuture<'_, Result<(), String>>;
}

/// What to fetch.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// An `https` URL.
    pub url: Url,
    /// What the bytes must hash to.
    pub digest: Option<Digest>,
    /// How many bytes there must be.
    pub size: Option<u64>,
    /// Whose word is needed for the bytes.
    pub trust: Trust,
}

/// Whose word is needed for the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's: any file.
    File,
    /// What the policy `firmware.unsigned` says of an image that no signed target covers.
    Firmware(Unsigned),
    /// A signed target's: digest and size in the request are its own.
    Signed,
}

/// Fetches files. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Fetcher {
    store: ArtifactStore,
    client: Client,
    settings: Arc<FetchSettings>,
    received: Counter,
    meter: Option<Arc<dyn Meter>>,
}

impl Fetcher {
    /// A fetcher into this store that trusts servers whose certificates lead to one of these roots.
    pub fn new(
        store: ArtifactStore,
        roots: Arc<RootCertStore>,
        settings: FetchSettings,
    ) -> Result<Self, FetchError> {
        let client = Client::new(roots, &settings, Scheme::Https)?;
        Ok(Self { store, client, settings: Arc::new(settings), received: Counter::default(), meter: None })
    }

    /// The same fetcher; the bytes that come over the network for it are added to this counter.
    pub fn counted(&self, received: Counter) -> Self {
        Self { received, ..self.clone() }
    }

    /// The same fetcher; this says how many bytes may come.
    pub fn metered(&self, meter: Arc<dyn Meter>) -> Self {
        Self { meter: Some(meter), ..self.clone() }
    }

    /// Removes what was fetched and nobody holds until so many bytes are free on the disk, or nothing is left to remove.
    /// Blocks on the disk.
    pub fn make_room(&self, bytes: u64) -> Result<(), ArtifactError> {
        self.store.make_room(bytes)
    }

    /// Fetches a file; at once, if one with the digest asked for is here.
    ///
    /// Idempotent and resumable: dropped, killed or cut off, the same request goes on where the durable bytes end.
    /// Two fetches of one file at once are one fetch; the second waits.
    pub async fn fetch(
        &self,
        request: &FetchRequest,
        allow: &Allow,
        progress: &Progress,
    ) -> Result<Artifact, FetchError> {
        let deadline = self.settings.deadline;
        let whole = async {
            let (digest, vouched) = self.vouched(request, allow).await?;
            let artifact = self.bytes(request, digest, vouched, allow, progress).await?;
            Ok((artifact, vouched))
        };
        let (artifact, vouched) = tokio::time::timeout(deadline, whole)
            .await
            .unwrap_or_else(|_| Err(error::too_late(&error::shown(&request.url), deadline)))?;
        match request.size {
            Some(expected) if expected != artifact.size() => {
                Err(FetchError::Size { expected, actual: artifact.size() })
            }
            _ => {
                progress(artifact.size(), Some(artifact.size()));
                Ok(artifact.vouched_by(vouched))
            }
        }
    }

    /// What the bytes must hash to, if anybody says so before they are fetched. Refuses what [`Fetcher::fetch`] would
    /// refuse before its first byte.
    pub async fn vouch(&self, request: &FetchRequest, allow: &Allow) -> Result<Option<Digest>, FetchError> {
        Ok(self.vouched(request, allow).await?.0)
    }

    /// What the bytes must hash to, and who says so.
    async fn vouched(
        &self,
        request: &FetchRequest,
        allow: &Allow,
    ) -> Result<(Option<Digest>, Vouched), FetchError> {
        client::check(&request.url)?;
        allow(&request.url).map_err(FetchError::Denied)?;
        let url = error::shown(&request.url);
        let given = request.digest.clone();
        match (request.trust, given) {
            (Trust::Firmware(Unsigned::Deny), _) => Err(FetchError::Untrusted(format!(
                "no signed target covers {url}, and firmware.unsigned is \"deny\" in the device's policy: \
                 publish the image in a signed repository, or let the operator set it to \"digest\""
            ))),
            (Trust::Firmware(Unsigned::Digest), None) => {
                let digest = self.sidecar(&request.url, allow).await?;
                tracing::warn!(url, %digest, "unsigned firmware: the digest beside it vouches (firmware.unsigned = \"digest\")");
                Ok((Some(digest), Vouched::Sidecar))
            }
            (Trust::Firmware(Unsigned::Allow), None) => {
                tracing::warn!(
                    url,
                    "unsigned firmware, taken as served (firmware.unsigned = \"allow\"): development only"
                );
                Ok((None, Vouched::Nobody))
            }
            (Trust::File, None) => Ok((None, Vouched::Nobody)),
            (Trust::Signed, Some(digest)) => Ok((Some(digest), Vouched::Signed)),
            (Trust::Signed, None) => Err(FetchError::Untrusted(format!(
                "{url} is to be a signed target, and no digest came with it"
            ))),
            (trust, Some(digest)) => {
                if trust != Trust::File {
                    tracing::warn!(url, %digest, "unsigned firmware: the digest in the request vouches");
                }
                Ok((Some(digest), Vouched::Request))
            }
        }
    }

    async fn bytes(
        &self,
        request: &FetchRequest,
        digest: Option<Digest>,
        vouched: Vouched,
        allow: &Allow,
        progress: &Progress,
    ) -> Result<Artifact, FetchError> {
        let key = digest.as_ref().map_or_else(|| Key::of_url(request.url.as_str()), Key::of_digest);
        let mut joined_once = false;
        loop {
            let partial = match self.claim(&key).await? {
                Claimed::Whole(artifact) => return Ok(artifact),
                Claimed::Partial(partial) => *partial,
            };
            if let Some(size) = request.size {
                self.store.check_room(partial.missing(size))?;
            }
            let mut fetch = attempt::Fetch::new(self, request, vouched, allow, progress, partial.position());
            match fetch.run(partial).await {
                // Bytes of several answers: perhaps they were of several versions. All of one answer, once.
                Err(FetchError::Digest { actual, .. }) if fetch.joined() && !joined_once => {
                    tracing::warn!(%actual, "joined bytes have the wrong digest; fetching all again");
                    joined_once = true;
                }
                result => return result,
            }
        }
    }

    /// The whole file, if it is here by now, or else the right to go on with it.
    async fn claim(&self, key: &Key) -> Result<Claimed, FetchError> {
        loop {
            let released = self.store.released();
            let (store, key) = (self.store.clone(), key.clone());
            let claimed = blocking(move || {
                // The claim first: whoever had it before may have finished the file.
                let Some(partial) = store.partial(&key)? else { return Ok(None) };
                let whole = key.digest().map(|digest| store.find(digest)).transpose()?.flatten();
                Ok(Some(match whole {
                    Some(artifact) => {
                        partial.discard()?;
                        Claimed::Whole(artifact)
                    }
                    None => Claimed::Partial(Box::new(partial)),
                }))
            });
            match claimed.await? {
                Some(claimed) => return Ok(claimed),
                None => released.await,
            }
        }
    }
}

enum Claimed {
    Whole(Artifact),
    Partial(Box<crate::artifact::Partial>),
}

/// Runs what blocks on the disk beside the asynchronous code.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::artifact::ArtifactError> + Send + 'static,
) -> Result<T, FetchError> {
    match crate::disk::blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(FetchError::Io(format!("the host is shutting down: {error}"))),
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fetcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}
