//! Where a repository's files come from: its server, or a directory that somebody carried here.
//!
//! Both are equally little trusted. What comes is bounded, in bytes and in time; what it is worth is decided elsewhere.

use std::{fmt::Write as _, io::Read, sync::Arc};

use cap_std::fs::Dir;
use url::Url;

use super::TrustError;
use crate::fetch::{ReadError, Reader};

/// A place of files.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A server.
    Network(Box<Server>),
    /// A directory with `metadata` and `targets` in it.
    Directory(Arc<Dir>),
}

/// A server; both bases end with `/`.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) reader: Reader,
    pub(super) metadata: Url,
    pub(super) targets: Url,
}

impl Source {
    /// A file of metadata; none if there is no such file.
    pub(super) async fn metadata(
        &self,
        repository: &str,
        file: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, TrustError> {
        let path = encoded(file);
        let result = match self {
            Source::Network(server) => ask(&server.reader, &server.metadata, &path, limit).await,
            Source::Directory(dir) => open(dir, format!("metadata/{path}"), limit).await,
        };
        result.map_err(|error| told(error, repository, file))
    }

    /// A target's file; none if there is no such file.
    pub(super) async fn target(
        &self,
        repository: &str,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, TrustError> {
        let path: Vec<String> = name.split('/').map(encoded).collect();
        let path = path.join("/");
        let result = match self {
            Source::Network(server) => ask(&server.reader, &server.targets, &path, limit).await,
            Source::Directory(dir) => open(dir, format!("targets/{path}"), limit).await,
        };
        result.map_err(|error| told(error, repository, name))
    }
}

enum Failed {
    TooLong(u64),
    Unreachable(String),
}

async fn ask(reader: &Reader, base: &Url, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failed> {
    // What it is joined with cannot lead elsewhere: it is encoded, and a name of dots is not.
    let url = base.join(path).map_err(|error| Failed::Unreachable(error.to_string()))?;
    if !url.as_str().starts_with(base.as_str()) {
        return Err(Failed::Unreachable(format!("{path} leads out of {base}")));
    }
    reader.read(&url, limit).await.map_err(|error| match error {
        ReadError::TooLong(limit) => Failed::TooLong(limit),
        ReadError::Failed(error) => Failed::Unreachable(error.to_string()),
    })
}

async fn open(dir: &Arc<Dir>, path: String, limit: u64) -> Result<Option<Vec<u8>>, Failed> {
    let dir = Arc::clone(dir);
    let read = crate::disk::blocking(move || {
        // Looked at before it is opened: opening a pipe would wait for ever.
        match dir.metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut bytes = Vec::new();
        dir.open(&path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    });
    match read.await {
        Ok(Ok(Some(bytes))) if bytes.len() as u64 > limit => Err(Failed::TooLong(limit)),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failed::Unreachable(error.to_string())),
        Err(error) => Err(Failed::Unreachable(error.to_string())),
    }
}

fn told(error: Failed, repository: &str, file: &str) -> TrustError {
    let repository = repository.to_owned();
    match error {
        Failed::TooLong(limit) => TrustError::EndlessData { repository, file: file.to_owned(), limit },
        Failed::Unreachable(reason) => TrustError::Unreachable { repository, reason },
    }
}

/// One part of a path with all but letters, digits and `-._~` escaped, as repositories name their files.
pub(super) fn encoded(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
