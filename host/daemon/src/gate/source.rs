//! Sources of an image whose bytes are counted.
//!
//! Any source can be wrapped, so whoever receives an image need not know that the link is metered. The answer that
//! reaches the cap is cut there; the next source would be refused as well, and the receiver tells why.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::fetch::{FetchError, Meter};
use crate::receive::{Body, Opened, Part, Source, SourceError};

/// A source over a metered link.
pub struct Metered {
    source: Arc<dyn Source>,
    meter: Arc<dyn Meter>,
}

struct Counting {
    body: Box<dyn Body>,
    meter: Arc<dyn Meter>,
    capped: Option<String>,
}

impl Metered {
    /// The same source, counted.
    pub fn new(source: Arc<dyn Source>, meter: Arc<dyn Meter>) -> Metered {
        Metered { source, meter }
    }
}

impl Source for Metered {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            self.meter.count(0).await.map_err(capped)?;
            let opened = self.source.open(part, from, to).await?;
            let body = Counting { body: opened.body, meter: Arc::clone(&self.meter), capped: None };
            Ok(Opened { body: Box::new(body), ..opened })
        })
    }
}

impl Body for Counting {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        Box::pin(async move {
            if let Some(why) = self.capped.take() {
                return Err(capped(why));
            }
            let piece = self.body.next().await?;
            if let Some(piece) = &piece {
                // These bytes came and are good; no more are asked for.
                self.capped = self.meter.count(piece.len() as u64).await.err();
            }
            Ok(piece)
        })
    }
}

fn capped(why: String) -> SourceError {
    SourceError::Refused(FetchError::Capped(why))
}
