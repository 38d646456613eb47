//! An image on a web server, and what stands beside it.
//!
//! Redirects are followed as [`crate::fetch`] does, each hop checked. An answer is joined to bytes of an earlier one by
//! `If-Range`: a server that has another version by now sends all of it, and who asked decides what that is worth.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use reqwest::{
    Response,
    header::{CONTENT_LENGTH, HeaderMap, HeaderValue, IF_RANGE, RANGE, RETRY_AFTER},
};
use rustls::RootCertStore;
use url::Url;

use super::{Body, Opened, Part, Source, SourceError};
use crate::{
    artifact::Validator,
    fetch::{
        Allow, FetchError, FetchSettings, Scheme,
        answer::{content_range, number, validator},
        client::{Client, Failed, causes, check},
        error::shown,
    },
};

/// Asks web servers. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client,
    scheme: Scheme,
}

impl Web {
    /// One that trusts servers whose certificates lead to one of these roots.
    ///
    /// # Errors
    /// The HTTPS client cannot be set up.
    pub fn new(
        roots: Arc<RootCertStore>,
        settings: &FetchSettings,
        scheme: Scheme,
    ) -> Result<Self, FetchError> {
        Ok(Self { client: Client::new(roots, settings, scheme)?, scheme })
    }

    /// The image at this URL; what stands beside it has its name and `.obao` or `.zst` behind. `allow` is asked before
    /// each hop of each request.
    pub fn source(&self, image: Url, allow: Arc<Allow>) -> HttpSource {
        let beside = |ending: &str| {
            let mut url = image.clone();
            url.set_path(&format!("{}{ending}", image.path()));
            url
        };
        let (outboard, zstd) = (beside(".obao"), beside(".zst"));
        self.source_at(image, outboard, zstd, allow)
    }

    /// The same, each part at a URL of its own.
    pub fn source_at(&self, image: Url, outboard: Url, zstd: Url, allow: Arc<Allow>) -> HttpSource {
        HttpSource { web: self.clone(), image, outboard, zstd, allow, versions: Mutex::default() }
    }
}

/// An image on a web server.
pub struct HttpSource {
    web: Web,
    image: Url,
    outboard: Url,
    zstd: Url,
    allow: Arc<Allow>,
    /// What the server called the versions that bytes were taken of.
    versions: Mutex<HashMap<Part, Validator>>,
}

impl Source for HttpSource {
    fn name(&self) -> String {
        shown(&self.image)
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        self.ask(part, from, to).boxed()
    }
}

impl HttpSource {
    async fn ask(&self, part: Part, from: u64, to: Option<u64>) -> Result<Opened, SourceError> {
        let url = match part {
            Part::Image => &self.image,
            Part::Outboard => &self.outboard,
            Part::Zstd => &self.zstd,
        };
        if self.web.scheme == Scheme::Https {
            check(url).map_err(SourceError::Refused)?;
        }
        (self.allow)(url).map_err(|why| SourceError::Refused(FetchError::Denied(why)))?;
        let headers = self.conditions(part, from, to);
        let asked = self.web.client.ask(url, &headers, self.allow.as_ref()).await;
        let (response, url) = asked.map_err(|failed| match failed {
            Failed::Broken(text) => SourceError::broken(text),
            Failed::Final(error) => SourceError::Refused(error),
        })?;
        self.judge(part, from, response, &url)
    }

    fn conditions(&self, part: Part, from: u64, to: Option<u64>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if from == 0 && to.is_none() {
            return headers;
        }
        let last = to.map(|to| to.saturating_sub(1).to_string()).unwrap_or_default();
        if let Ok(range) = HeaderValue::try_from(format!("bytes={from}-{last}")) {
            headers.insert(RANGE, range);
        }
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Validator::Etag(text) | Validator::LastModified(text)) = versions.get(&part)
            && let Ok(version) = HeaderValue::from_str(text)
        {
            headers.insert(IF_RANGE, version);
        }
        headers
    }

    /// What an answer of the server, from this URL in the end, is worth to who asked for a part from this byte on.
    ///
    /// # Errors
    /// It is a refusal, or a range that nobody asked for.
    pub fn judge(&self, part: Part, from: u64, response: Response, url: &Url) -> Result<Opened, SourceError> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let error = || FetchError::Status { url: shown(url), status };
        let (start, total) = match status {
            200 => (0, number(headers, CONTENT_LENGTH)),
            206 => match content_range(headers) {
                Some((first, _, total)) if first == from => (from, total),
                _ => return Err(SourceError::Refused(error())),
            },
            408 | 429 | 500..=599 => {
                let after = number(headers, RETRY_AFTER).map(std::time::Duration::from_secs);
                return Err(SourceError::Broken { error: error(), after });
            }
            // Object stores answer 403 for what is not there.
            403 | 404 | 410 => return Err(SourceError::Missing(error())),
            _ => return Err(SourceError::Refused(error())),
        };
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        match validator(headers) {
            Some(version) => versions.insert(part, version),
            None => versions.remove(&part),
        };
        Ok(Opened { body: Box::new(HttpBody { response, from: shown(url) }), start, total })
    }
}

struct HttpBody {
    response: Response,
    from: String,
}

impl Body for HttpBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        async {
            self.response.chunk().await.map_err(|error| {
                SourceError::broken(format!("{} broke off: {}", self.from, causes(&error.without_url())))
            })
        }
        .boxed()
    }
}
