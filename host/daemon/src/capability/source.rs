//! What stands behind a guest's handle of an image that is known before it is fetched, and where it is received from.
//!
//! A job names one URL, and the grant is asked for it and for each hop from it. Which further places have the same bytes
//! is the operator's word, in the configuration of the repository that signed them; what a job or a server says leads to
//! none of these.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hotshoe_core::digest::{Algorithm, Digest};
use prometheus_client::metrics::counter::Counter;
use url::Url;
use wasmtime::component::Resource;

use super::Context;
use super::bindings::hotshoe::plugin::download;
use crate::fetch::{Allow, FetchRequest};
use crate::gate::Metered;
use crate::receive::{Body, FolderSource, Image, Opened, Part, Source, SourceError};
use crate::trust::{Place, Target};

/// An image that is known before it is fetched. Cheap to clone.
#[derive(Clone)]
pub struct OpenSource {
    image: Image,
    version: Option<String>,
    places: Arc<[Arc<dyn Source>]>,
}

impl fmt::Debug for OpenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenSource").field("image", &self.image).finish_non_exhaustive()
    }
}

impl OpenSource {
    /// The image as a slot with this digest is to get it; none if it is another one.
    pub(super) fn image_for(&self, digest: &Digest) -> Option<Image> {
        let known = self.image.digest == *digest || self.image.root.as_ref() == Some(digest);
        known.then(|| Image { digest: digest.clone(), ..self.image.clone() })
    }

    /// What its bytes will hash to.
    pub(super) fn digest(&self) -> &Digest {
        &self.image.digest
    }

    /// The places, the one to ask first in front.
    pub(super) fn places(&self) -> &[Arc<dyn Source>] {
        &self.places
    }
}

impl Context {
    /// A request with what is signed of it, as something that can be received; none where nobody says what it will be.
    pub(super) async fn source(
        &mut self,
        request: FetchRequest,
        target: Option<Target>,
    ) -> Result<Option<OpenSource>, download::Error> {
        let grants = self.tenant.grants.clone();
        let allow: Arc<Allow> = Arc::new(move |url: &Url| grants.allows_url(url));
        let known = self.services.fetcher.vouch(&request, allow.as_ref()).await?;
        let Some(digest) = known else { return Ok(None) };
        let root = match &target {
            Some(target) => target.digest_by(Algorithm::Blake3).cloned(),
            None => (digest.algorithm == Algorithm::Blake3).then(|| digest.clone()),
        };
        let custom = target.as_ref().map(|target| &target.custom);
        let image = Image {
            digest,
            length: request.size,
            root,
            outboard: custom.is_some_and(|custom| custom.outboard),
            zstd: custom.is_some_and(|custom| custom.zstd),
        };
        let places = match &target {
            Some(target) => self.services.repositories.places(target).await,
            None => Vec::new(),
        };
        Ok(Some(OpenSource {
            places: self.sources(&request.url, &allow, places, image.outboard).into(),
            version: target.and_then(|target| target.custom.version),
            image,
        }))
    }

    /// Local copies come first where each chunk is checked before it is written: they cost no traffic. Where nothing but
    /// the whole can be checked they come last, since one that is spoilt would spoil every attempt.
    fn sources(
        &self,
        asked: &Url,
        allow: &Arc<Allow>,
        places: Vec<Place>,
        checked: bool,
    ) -> Vec<Arc<dyn Source>> {
        let (mut local, mut servers, mut bases) = (Vec::<Arc<dyn Source>>::new(), Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Local { directory, path, file } => {
                    tracing::debug!(path = %path.display(), file, "a local copy of the image's repository is there");
                    local.push(Arc::new(FolderSource::new(directory, file)));
                }
                Place::Server { url, base } => {
                    bases.push(base.clone());
                    if !same_file(&url, asked) {
                        servers.push((url, within(vec![base], Arc::clone(allow))));
                    }
                }
            }
        }
        // What stands beside a signed image is within the operator's base, whatever pattern the grant has.
        servers.insert(0, (asked.clone(), within(bases, Arc::clone(allow))));
        let servers = servers.into_iter().map(|(url, allow)| -> Arc<dyn Source> {
            let source = self.services.web.source(url, allow);
            let counted = Counted { source, received: self.tenant.usage.fetched.clone() };
            let meter = self.tenant.quotas().meter(self.services.gate.traffic());
            Arc::new(Metered::new(Arc::new(counted), meter))
        });
        if checked { local.into_iter().chain(servers).collect() } else { servers.chain(local).collect() }
    }
}

/// What lies below one of these bases, and what else is granted.
fn within(bases: Vec<Url>, granted: Arc<Allow>) -> Arc<Allow> {
    Arc::new(move |url: &Url| {
        let below = |base: &Url| url.origin() == base.origin() && url.path().starts_with(base.path());
        if bases.iter().any(below) { Ok(()) } else { granted(url) }
    })
}

fn same_file(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin() && one.path() == other.path()
}

/// A server whose bytes are counted as the plugin's.
struct Counted<S> {
    source: S,
    received: Counter,
}

impl<S: Source> Source for Counted<S> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            let opened = self.source.open(part, from, to).await?;
            let body = Counting { body: opened.body, received: self.received.clone() };
            Ok(Opened { body: Box::new(body), ..opened })
        })
    }
}

struct Counting {
    body: Box<dyn Body>,
    received: Counter,
}

impl Body for Counting {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        Box::pin(async move {
            let piece = self.body.next().await?;
            self.received.inc_by(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            Ok(piece)
        })
    }
}

impl download::HostSource for Context {
    async fn digest(&mut self, source: Resource<OpenSource>) -> wasmtime::Result<String> {
        self.entered("download.source.digest");
        Ok(self.table.get(&source)?.image.digest.to_string())
    }

    async fn size(&mut self, source: Resource<OpenSource>) -> wasmtime::Result<Option<u64>> {
        self.entered("download.source.size");
        Ok(self.table.get(&source)?.image.length)
    }

    async fn version(&mut self, source: Resource<OpenSource>) -> wasmtime::Result<Option<String>> {
        self.entered("download.source.version");
        Ok(self.table.get(&source)?.version.clone())
    }

    async fn drop(&mut self, source: Resource<OpenSource>) -> wasmtime::Result<()> {
        self.entered("download.source.drop");
        self.table.delete(source)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_leads_nowhere_but_below_its_base_and_where_the_grant_leads() {
        let granted: Arc<Allow> =
            Arc::new(|url| if url.path() == "/granted" { Ok(()) } else { Err("no".to_owned()) });
        let allow = within(vec![url("https://mirror.example/t/")], granted);
        for (text, allowed) in [
            ("https://mirror.example/t/images/fw.img.obao", true),
            ("https://mirror.example/other", false),
            ("https://mirror.example:444/t/images/fw.img", false),
            ("http://mirror.example/t/images/fw.img", false),
            ("https://mirror.example/t/../secret", false),
            ("https://elsewhere.example/granted", true),
        ] {
            assert_eq!(allow(&url(text)).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn a_token_in_the_query_makes_no_other_file() {
        let plain = url("https://updates.example/t/fw.img");
        assert!(same_file(&url("https://updates.example/t/fw.img?sig=x"), &plain));
        assert!(!same_file(&url("https://updates.example/t/fw2.img"), &plain));
        assert!(!same_file(&url("https://mirror.example/t/fw.img"), &plain));
    }
}
