//! Small files into memory: metadata, whose length nobody knows beforehand.
//!
//! What the big [`Fetcher`](super::Fetcher) promises of patience and honesty holds here too, with one bound more: a
//! file has so many bytes and so much time in all. It is not resumed and not kept. Redirects stay on their server: what
//! is fetched here is asked for by the device itself, and no grant says where else it may go.

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderMap;
use rustls::RootCertStore;
use url::Url;

use super::{
    FetchError, FetchSettings,
    client::{self, Client, Failed, causes},
    error::shown,
};

/// Which servers are talked to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Scheme {
    /// Those with a certificate.
    #[default]
    Https,
    /// Any. For test suites that know nothing else; there is no configuration for it.
    AlsoPlainHttp,
}

/// Reads small files. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Reader {
    client: Client,
    stall_timeout: Duration,
    patience: Duration,
    scheme: Scheme,
}

/// Why a small file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It has more bytes than it may have.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// It could not be fetched.
    #[error(transparent)]
    Failed(#[from] FetchError),
}

impl Reader {
    /// A reader that trusts servers whose certificates lead to one of these roots, and waits `patience` for a file.
    ///
    /// # Errors
    /// The HTTPS client cannot be set up.
    pub fn new(
        roots: Arc<RootCertStore>,
        settings: &FetchSettings,
        patience: Duration,
        scheme: Scheme,
    ) -> Result<Self, FetchError> {
        let client = Client::new(roots, settings, scheme)?;
        Ok(Self { client, stall_timeout: settings.stall_timeout, patience, scheme })
    }

    /// Reads a file of at most `limit` bytes; none if its server says that it has none.
    ///
    /// # Errors
    /// See [`ReadError`]. Nothing is tried twice.
    pub async fn read(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        if self.scheme == Scheme::Https {
            client::check(url)?;
        }
        match tokio::time::timeout(self.patience, self.whole(url, limit)).await {
            Ok(result) => result,
            Err(_) => Err(self.too_slow(url)),
        }
    }

    async fn whole(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let origin = url.origin();
        let allow = move |to: &Url| match to.origin() == origin {
            true => Ok(()),
            false => Err("to another server".to_owned()),
        };
        let (mut response, from) =
            self.client.ask(url, &HeaderMap::new(), &allow).await.map_err(|failed| match failed {
                Failed::Broken(text) => FetchError::Interrupted(text),
                Failed::Final(error) => error,
            })?;
        let status = response.status().as_u16();
        match status {
            200 => {}
            // Object stores answer 403 for what is not there.
            403 | 404 | 410 => return Ok(None),
            _ => return Err(FetchError::Status { url: shown(&from), status }.into()),
        }
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(ReadError::TooLong(limit));
        }
        let mut bytes = Vec::new();
        loop {
            match tokio::time::timeout(self.stall_timeout, response.chunk()).await {
                Ok(Ok(Some(piece))) => bytes.extend_from_slice(&piece),
                Ok(Ok(None)) => return Ok(Some(bytes)),
                Ok(Err(error)) => {
                    let text = format!("{} broke off: {}", shown(&from), causes(&error.without_url()));
                    return Err(FetchError::Interrupted(text).into());
                }
                Err(_) => return Err(self.too_slow(&from)),
            }
            if bytes.len() as u64 > limit {
                return Err(ReadError::TooLong(limit));
            }
        }
    }

    fn too_slow(&self, url: &Url) -> ReadError {
        FetchError::Interrupted(format!("{} sends too slowly to wait for", shown(url))).into()
    }
}
