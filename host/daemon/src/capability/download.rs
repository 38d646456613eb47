//! `download`: files from the network, fetched by the host.
//!
//! The grant is asked for each URL, redirects included; the bytes go to the artifact store and not through the guest.
//! Within a job the progress is shown as the job's, so that a plugin that waits for `fetch` is seen to move.
//!
//! `resolve` asks the same questions in the same order and stops before the first byte: what it gives is received into a
//! slot by `flash`.

use hotshoe_core::job::Progress;
use url::Url;
use wasmtime::component::Resource;

use super::bindings::hotshoe::plugin::download::{
    self, DigestMismatch, Error, Purpose, Request, SizeMismatch,
};
use super::entry::SOON;
use super::{Context, OpenSource};
use crate::artifact::Artifact;
use crate::fetch::{FetchError, FetchRequest, Trust};
use crate::trust::{Target, TrustError};

/// The longest URL, in bytes.
const URL_LIMIT: usize = 8192;
/// The most that `artifact.read` gives at once, in bytes.
const READ_LIMIT: u32 = 256 * 1024;
/// What the progress of a fetch is called where the plugin has not named a phase.
const PHASE: &str = "downloading";

impl download::Host for Context {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Resource<Artifact>, Error>> {
        self.entered("download.fetch");
        let checked = match self.may_fetch().await.and_then(|()| self.checked(request)) {
            Ok(request) => self.signed(request).await,
            Err(error) => Err(error),
        };
        let request = match checked {
            Ok((request, _)) => request,
            Err(error) => return self.answer("download.fetch", Err(error)),
        };
        let grants = self.tenant.grants.clone();
        let allow = move |url: &Url| grants.allows_url(url);
        let job = self.job.as_ref().map(|run| run.handle.clone());
        let progress = move |done, total| {
            if let Some(job) = &job {
                job.progress(Progress { phase: PHASE.to_owned(), done, total });
            }
        };
        let fetcher = self.services.fetcher.counted(self.tenant.usage.fetched.clone());
        let fetcher = fetcher.metered(self.tenant.quotas().meter(self.services.gate.traffic()));
        match self.hold().fetching(fetcher.fetch(&request, &allow, &progress)).await {
            Ok(artifact) => Ok(Ok(self.table.push(artifact)?)),
            Err(error) => self.answer("download.fetch", Err(error)),
        }
    }

    async fn resolve(
        &mut self,
        request: Request,
    ) -> wasmtime::Result<Result<Option<Resource<OpenSource>>, Error>> {
        self.entered("download.resolve");
        match self.known(request).await {
            Ok(Some(source)) => Ok(Ok(Some(self.table.push(source)?))),
            Ok(None) => Ok(Ok(None)),
            Err(error) => self.answer("download.resolve", Err(error)),
        }
    }
}

impl Context {
    async fn known(&mut self, request: Request) -> Result<Option<OpenSource>, Error> {
        let (request, target) = self.signed(self.checked(request)?).await?;
        self.source(request, target).await
    }

    fn checked(&self, request: Request) -> Result<FetchRequest, Error> {
        if request.url.len() > URL_LIMIT {
            return Err(Error::InvalidUrl(format!("the URL is over {URL_LIMIT} bytes")));
        }
        let url = Url::parse(&request.url)
            .map_err(|error| Error::InvalidUrl(format!("the URL does not parse: {error}")))?;
        let digest = request.digest.map(|digest| digest.parse()).transpose();
        let digest = digest
            .map_err(|error: hotshoe_core::digest::DigestError| Error::InvalidDigest(error.to_string()))?;
        let trust = match request.purpose {
            Purpose::File => Trust::File,
            Purpose::Firmware => Trust::Firmware(self.services.unsigned),
        };
        Ok(FetchRequest { url, digest, size: request.size, trust })
    }
}

impl Context {
    /// An image under a repository's targets is that target: its digest and size are the signed ones, and what the
    /// request says of them must agree. The grant is asked first, so that a plugin cannot make the host look elsewhere.
    async fn signed(&mut self, request: FetchRequest) -> Result<(FetchRequest, Option<Target>), Error> {
        if !matches!(request.trust, Trust::Firmware(_)) {
            return Ok((request, None));
        }
        self.tenant.grants.allows_url(&request.url).map_err(Error::Denied)?;
        let Some(target) = self.services.repositories.resolve(&request.url).await? else {
            return Ok((request, None));
        };
        if !target.is_firmware() {
            return Err(Error::Untrusted(format!("the target `{}` is not a firmware image", target.name)));
        }
        target.agrees(request.digest.as_ref(), request.size, None)?;
        self.above_floor(&target).await.map_err(Error::Untrusted)?;
        self.fits_a_slot(target.length).await?;
        tracing::info!(
            repository = target.repository, target = target.name, digest = %target.digest,
            "a signed firmware image"
        );
        let request = FetchRequest {
            digest: Some(target.digest.clone()),
            size: Some(target.length),
            trust: Trust::Signed,
            ..request
        };
        Ok((request, Some(target)))
    }
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Unreachable { .. } => Error::Interrupted(error.to_string()),
            TrustError::State(error) => Error::Io(error.to_string()),
            other => Error::Untrusted(other.to_string()),
        }
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Denied(text) => Error::Denied(text),
            FetchError::InvalidUrl(text) => Error::InvalidUrl(text),
            FetchError::Untrusted(text) => Error::Untrusted(text),
            FetchError::Status { status, .. } => Error::Status(status),
            FetchError::Interrupted(text) | FetchError::Capped(text) => Error::Interrupted(text),
            FetchError::Size { expected, actual } => Error::Size(SizeMismatch { expected, actual }),
            FetchError::Digest { expected, actual } => {
                Error::Digest(DigestMismatch { expected: expected.to_string(), actual: actual.to_string() })
            }
            FetchError::InsufficientSpace { needed, available } => {
                Error::InsufficientSpace(SizeMismatch { expected: needed, actual: available })
            }
            FetchError::Io(text) => Error::Io(text),
        }
    }
}

impl download::HostArtifact for Context {
    async fn digest(&mut self, artifact: Resource<Artifact>) -> wasmtime::Result<String> {
        self.entered("download.artifact.digest");
        Ok(self.table.get(&artifact)?.digest().to_string())
    }

    async fn size(&mut self, artifact: Resource<Artifact>) -> wasmtime::Result<u64> {
        self.entered("download.artifact.size");
        Ok(self.table.get(&artifact)?.size())
    }

    async fn origin(&mut self, artifact: Resource<Artifact>) -> wasmtime::Result<String> {
        self.entered("download.artifact.origin");
        Ok(self.table.get(&artifact)?.origin().to_owned())
    }

    async fn read(
        &mut self,
        artifact: Resource<Artifact>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        self.entered("download.artifact.read");
        let artifact = self.table.get(&artifact)?.clone();
        let length = usize::try_from(length.min(READ_LIMIT)).unwrap_or_default();
        let read = self.disk().blocking(SOON, move || artifact.read(offset, length)).await;
        Ok(match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Error::Io(format!("the file cannot be read: {error}"))),
            Err(text) => Err(Error::Io(text)),
        })
    }

    async fn drop(&mut self, artifact: Resource<Artifact>) -> wasmtime::Result<()> {
        self.entered("download.artifact.drop");
        self.table.delete(artifact)?;
        Ok(())
    }
}
