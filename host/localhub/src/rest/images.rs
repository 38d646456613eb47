//! Files of the images directory at `/images/…`, for devices to download: no token needed, as from a CDN.
//!
//! Written here because the usual file service has neither entity tags nor `If-Range`, without which a device
//! cannot safely resume. The tag is strong and made of the file's size, time of change and inode: replacing the
//! file gives another. A range is one `bytes=a-b`; several ranges get the whole file, as HTTP allows. Reading runs
//! ahead of sending by a few large buffers on a thread that may block.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Service;
use super::address::Path as UrlPath;
use super::served::Answer;
use crate::fault::Fault;

/// One buffer of a file.
const CHUNK: usize = 512 * 1024;
/// Buffers read ahead.
const AHEAD: usize = 3;

pub(super) async fn serve(
    State(service): State<Service>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let missing = || Fault::NotFound(format!("there is no image {path:?}"));
    let directory = service.images.clone().ok_or_else(missing)?;
    let file = below(&directory, &path).ok_or_else(missing)?;
    let opened = tokio::task::spawn_blocking(move || {
        let file = File::open(file)?;
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok((file, metadata)) } else { Err(io::ErrorKind::NotFound.into()) }
    });
    let opened = opened.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let (file, metadata) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(Fault::Internal(format!("the image {path:?} cannot be read: {error}"))),
    };
    let log = |status, first, length| service.served.begin(&path, status, first, length);
    Ok(respond(file, &metadata, &headers, service.image_rate, &log))
}

/// The file that a URL path means. Segments that are empty, hidden or climb are refused.
fn below(directory: &Path, path: &str) -> Option<PathBuf> {
    let fits = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    path.split('/').all(fits).then(|| directory.join(path))
}

fn respond(
    file: File,
    metadata: &Metadata,
    headers: &HeaderMap,
    rate: Option<u64>,
    log: &dyn Fn(u16, u64, u64) -> Arc<Answer>,
) -> Response {
    let size = metadata.len();
    let tag = format!("\"{size:x}-{:x}.{:x}-{:x}\"", metadata.mtime(), metadata.mtime_nsec(), metadata.ino());
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.split(',').any(|other| other.trim() == tag))
    {
        return finish(StatusCode::NOT_MODIFIED, &tag, &[], Body::empty());
    }
    // If-Range with anything but the present tag (an older one, or a date) means: send all of it.
    let fresh = text(IF_RANGE).is_none_or(|wanted| wanted.trim() == tag);
    let wanted = text(RANGE).filter(|_| fresh);
    let (status, first, length, range) = match wanted.map_or(Range::Whole, |range| Range::parse(range, size))
    {
        Range::Whole => (StatusCode::OK, 0, size, None),
        Range::Part { first, last } => {
            let range = format!("bytes {first}-{last}/{size}");
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1, Some(range))
        }
        Range::Impossible => {
            let range = (CONTENT_RANGE, format!("bytes */{size}"));
            return finish(StatusCode::RANGE_NOT_SATISFIABLE, &tag, &[range], Body::empty());
        }
    };
    let mut more =
        vec![(CONTENT_LENGTH, length.to_string()), (CONTENT_TYPE, "application/octet-stream".into())];
    more.extend(range.map(|range| (CONTENT_RANGE, range)));
    let answer = log(status.as_u16(), first, length);
    finish(status, &tag, &more, body(file, first, length, rate, answer))
}

fn finish(status: StatusCode, tag: &str, more: &[(HeaderName, String)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let always =
        [(ETAG, tag.to_owned()), (ACCEPT_RANGES, "bytes".into()), (CACHE_CONTROL, "no-cache".into())];
    for (name, value) in always.iter().chain(more) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name.clone(), value);
        }
    }
    response
}

/// The answer to `HEAD` drops this body unread; the reading thread then ends at its first buffer.
fn body(file: File, first: u64, length: u64, rate: Option<u64>, answer: Arc<Answer>) -> Body {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let chunks = stream::unfold(
        Reading { pending: Some((file, first, length, sender)), receiver, answer },
        move |mut reading| async move {
            if let Some((file, first, length, sender)) = reading.pending.take() {
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = read(file, first, length, rate, &sender) {
                        drop(sender.blocking_send(Err(error)));
                    }
                });
            }
            let chunk = reading.receiver.recv().await?;
            reading.answer.sent(chunk.as_ref().map_or(0, Bytes::len));
            Some((chunk, reading))
        },
    );
    Body::from_stream(chunks)
}

struct Reading {
    pending: Option<(File, u64, u64, mpsc::Sender<io::Result<Bytes>>)>,
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    answer: Arc<Answer>,
}

/// Reads on a thread of its own, which is where the pace of a slower link is kept.
fn read(
    mut file: File,
    first: u64,
    length: u64,
    rate: Option<u64>,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(first))?;
    let mut left = length;
    while left > 0 {
        let chunk = u64::try_from(CHUNK).map_or(left, |chunk| left.min(chunk));
        let mut buffer = Vec::with_capacity(usize::try_from(chunk).unwrap_or(CHUNK));
        let count = (&mut file).take(chunk).read_to_end(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the image shrank while it was sent"));
        }
        left -= u64::try_from(count).unwrap_or(left);
        if sender.blocking_send(Ok(Bytes::from(buffer))).is_err() {
            return Ok(()); // nobody reads any more
        }
        if let Some(rate) = rate {
            std::thread::sleep(Duration::from_secs_f64(count as f64 / rate.max(1) as f64));
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part { first: u64, last: u64 },
    Impossible,
}

impl Range {
    /// One range of bytes; what is not understood is ignored, as HTTP says.
    fn parse(text: &str, size: u64) -> Self {
        let Some(range) = text.trim().strip_prefix("bytes=").filter(|range| !range.contains(',')) else {
            return Self::Whole;
        };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        match (first, last) {
            ("", last) => match number(last) {
                None => Self::Whole,
                Some(0) => Self::Impossible,
                Some(_) if size == 0 => Self::Impossible,
                Some(count) => Self::Part { first: size.saturating_sub(count), last: size - 1 },
            },
            (first, last) => match (number(first), number(last), last.is_empty()) {
                (Some(first), _, true) if first < size => Self::Part { first, last: size - 1 },
                (Some(first), Some(last), _) if first > last => Self::Whole,
                (Some(first), Some(last), _) if first < size => {
                    Self::Part { first, last: last.min(size - 1) }
                }
                (Some(_), _, true) | (Some(_), Some(_), _) => Self::Impossible,
                _ => Self::Whole,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |first, last| Range::Part { first, last };
        for (text, wanted) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-", part(2, 9)),
            ("bytes=2-99", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=10-", Range::Impossible),
            ("bytes=10-12", Range::Impossible),
            ("bytes=-0", Range::Impossible),
            ("bytes=5-4", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("lines=0-1", Range::Whole),
        ] {
            assert_eq!(Range::parse(text, 10), wanted, "{text}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Impossible);
    }

    #[test]
    fn paths_that_climb_or_hide_mean_nothing() {
        let directory = Path::new("/images");
        assert_eq!(below(directory, "v2/image.bin"), Some("/images/v2/image.bin".into()));
        for path in ["", "..", "../secret", "a/../../b", "/etc/passwd", ".hidden", "a//b", "a/", "a\\..\\b"] {
            assert_eq!(below(directory, path), None, "{path}");
        }
    }
}
