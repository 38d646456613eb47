//! Files from the network: what a test serves, by URL.

use std::fmt::Write;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{State, call};
use crate::bindings::hotshoe::plugin::download::{DigestMismatch, Error, Purpose, Request, SizeMismatch};
use crate::testing::state::{CANCELLED, Stored};

#[derive(Debug)]
pub(crate) struct Artifact {
    digest: String,
    pub(super) stored: Stored,
}

impl Artifact {
    pub(crate) fn digest(&self) -> String {
        call("artifact.digest", |_| self.digest.clone())
    }

    pub(crate) fn size(&self) -> u64 {
        call("artifact.size", |_| self.stored.bytes.len() as u64)
    }

    pub(crate) fn origin(&self) -> String {
        call("artifact.origin", |_| self.stored.origin.clone())
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        call("artifact.read", |_| {
            let length = length.min(crate::download::READ_LIMIT) as usize;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.stored.bytes.len());
            let end = start.saturating_add(length).min(self.stored.bytes.len());
            Ok(self.stored.bytes.get(start..end).unwrap_or_default().to_vec())
        })
    }
}

pub(crate) fn fetch(request: &Request) -> Result<Artifact, Error> {
    call("download.fetch", |state| find(state, request))
}

/// A file that is known before it is fetched.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) url: String,
    pub(super) digest: String,
    size: Option<u64>,
    version: Option<String>,
}

impl Source {
    pub(crate) fn digest(&self) -> String {
        call("source.digest", |_| self.digest.clone())
    }

    pub(crate) fn size(&self) -> Option<u64> {
        call("source.size", |_| self.size)
    }

    pub(crate) fn version(&self) -> Option<String> {
        call("source.version", |_| self.version.clone())
    }
}

pub(crate) fn resolve(request: &Request) -> Result<Option<Source>, Error> {
    call("download.resolve", |state| known(state, request))
}

fn known(state: &mut State, request: &Request) -> Result<Option<Source>, Error> {
    let Request { url, digest, size, purpose } = request.clone();
    let signed = state.signed.get(&url).cloned().filter(|_| purpose == Purpose::Firmware);
    check(state, request, signed.is_some())?;
    if state.fails("download.resolve") {
        return Err(Error::Io("the test asked for it".to_owned()));
    }
    let Some(version) = signed else {
        return Ok(digest.map(|digest| Source { url, digest, size, version: None }));
    };
    let bytes = state.files.get(&url).and_then(|file| file.as_ref().ok()).cloned().unwrap_or_default();
    let (actual, length) = (sha256(&bytes), bytes.len() as u64);
    if digest.is_some_and(|digest| digest != actual) || size.is_some_and(|size| size != length) {
        return Err(Error::Untrusted(format!("another file is signed for {url}")));
    }
    Ok(Some(Source { url, digest: actual, size: Some(length), version }))
}

/// What the network gives for a URL.
pub(super) fn served(state: &mut State, url: &str) -> Result<Rc<[u8]>, Error> {
    if state.interrupted_fetches > 0 {
        state.interrupted_fetches -= 1;
        return Err(Error::Interrupted("the test asked for it".to_owned()));
    }
    match state.files.get(url) {
        Some(Ok(bytes)) => Ok(Rc::clone(bytes)),
        Some(Err(status)) => Err(Error::Status(*status)),
        None => Err(Error::Status(404)),
    }
}

/// What is refused before anything is looked up.
fn check(state: &State, request: &Request, signed: bool) -> Result<(), Error> {
    let url = &request.url;
    if !url.starts_with("https://") {
        return Err(Error::InvalidUrl(format!("{url} is not https")));
    }
    if state.manifest.as_ref().is_some_and(|manifest| !manifest.grants.allows_url(url)) {
        return Err(Error::Denied(format!("the manifest does not ask for {url}")));
    }
    if let Some(digest) = request.digest.as_ref().filter(|digest| !is_sha256(digest)) {
        return Err(Error::InvalidDigest(format!(
            "{digest} is no SHA-256, and the fake device knows no other"
        )));
    }
    let wanted = state.digests_wanted && request.purpose == Purpose::Firmware && !signed;
    if wanted && request.digest.is_none() {
        return Err(Error::Untrusted("the policy firmware.unsigned is digest, and there is none".to_owned()));
    }
    Ok(())
}

fn find(state: &mut State, request: &Request) -> Result<Artifact, Error> {
    let url = &request.url;
    if state.jobs.is_cancelled() {
        return Err(Error::Denied(CANCELLED.to_owned()));
    }
    check(state, request, state.signed.contains_key(url))?;
    if let Some(digest) = &request.digest
        && let Some(stored) = state.artifacts.get(digest)
    {
        return Ok(Artifact { digest: digest.clone(), stored: stored.clone() });
    }
    if state.fails("download.fetch") {
        return Err(Error::Io("the test asked for it".to_owned()));
    }
    let bytes = served(state, url)?;
    let size = bytes.len() as u64;
    *state.fetched.entry(url.clone()).or_default() += size;
    if let Some(expected) = request.size.filter(|expected| *expected != size) {
        return Err(Error::Size(SizeMismatch { expected, actual: size }));
    }
    let actual = sha256(&bytes);
    if let Some(expected) = request.digest.clone().filter(|expected| *expected != actual) {
        return Err(Error::Digest(DigestMismatch { expected, actual }));
    }
    let stored = Stored { bytes, origin: url.clone() };
    state.artifacts.insert(actual.clone(), stored.clone());
    Ok(Artifact { digest: actual, stored })
}

pub(in crate::testing) fn is_sha256(digest: &str) -> bool {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower))
}

pub(in crate::testing) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
