//! An image in a directory: a stick that was plugged in, or a share.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use cap_std::fs::Dir;
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Body, Opened, Part, Source, SourceError};
use crate::fetch::FetchError;

/// Bytes read at a time.
const PIECE: u64 = 256 * 1024;

/// An image in a directory, and what stands beside it: `<name>.obao`, `<name>.zst`.
#[derive(Debug)]
pub struct FolderSource {
    folder: Dir,
    name: String,
}

impl FolderSource {
    /// The image of that name in a directory; slashes lead into it, never out of it.
    pub fn new(folder: Dir, name: impl Into<String>) -> Self {
        Self { folder, name: name.into() }
    }
}

impl Source for FolderSource {
    fn name(&self) -> String {
        format!("{} in a local directory", self.name)
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        let name = match part {
            Part::Image => self.name.clone(),
            Part::Outboard => format!("{}.obao", self.name),
            Part::Zstd => format!("{}.zst", self.name),
        };
        async move {
            let folder = self.folder.try_clone().map_err(|error| failed(&self.name, &error))?;
            let shown = name.clone();
            let opened = blocking(&shown, move || {
                let file = folder.open(&name)?.into_std();
                let total = file.metadata()?.len();
                Ok((file, total))
            });
            let (file, total) = opened.await?;
            let end = to.unwrap_or(total).min(total);
            let body = FolderBody { file: Arc::new(file), name: shown, at: from, end };
            Ok(Opened { body: Box::new(body), start: from, total: Some(total) })
        }
        .boxed()
    }
}

struct FolderBody {
    file: Arc<File>,
    name: String,
    at: u64,
    end: u64,
}

impl Body for FolderBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        async {
            let length = self.end.saturating_sub(self.at).min(PIECE);
            if length == 0 {
                return Ok(None);
            }
            let (file, at) = (Arc::clone(&self.file), self.at);
            let bytes = blocking(&self.name, move || {
                let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, at)?;
                Ok(bytes)
            });
            let bytes = Bytes::from(bytes.await?);
            self.at = self.at.saturating_add(length);
            Ok(Some(bytes))
        }
        .boxed()
    }
}

async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = crate::disk::blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|error| failed(name, &error))
}

fn failed(name: &str, error: &io::Error) -> SourceError {
    let told = FetchError::Io(format!("cannot read {name} in a local directory: {error}"));
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(told),
        // A stick that was pulled out does not come back by asking again.
        _ => SourceError::Refused(told),
    }
}
