//! A body into a partial file: the task receives, a thread hashes and writes, a short queue between them.
//!
//! The queue is bounded, so a slow disk slows the network down and memory does not grow. A server that stalls or
//! drips is left; only time spent waiting for *it* counts, never time spent waiting for the disk.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use reqwest::Response;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::Instant,
};

use super::{FetchError, FetchSettings, Progress, client::causes};
use crate::artifact::{ArtifactError, Partial};

/// Pieces under way between network and disk. A piece is what one read of the connection gave, and the reads grow to
/// hundreds of KiB while the disk is behind, so that [`WAITING`] bounds them in bytes as well.
const QUEUE: usize = 64;

/// Bytes under way between network and disk; one piece may be above it.
const WAITING: u32 = 1024 * 1024;

/// Pieces that wait are written as one up to about this many bytes: fewer system calls, and a faster hash.
const BATCH: usize = 256 * 1024;

/// How a body ended.
pub(super) enum End {
    /// As the protocol says it should.
    Whole,
    /// Before that.
    Broken(String),
    /// With more bytes than there may be; this many at least.
    TooLong(u64),
    /// The device's policy lets no more through.
    Capped(String),
}

/// What the pace of a body is measured with, and who is told.
pub(super) struct Pace<'a> {
    pub(super) settings: &'a FetchSettings,
    pub(super) progress: &'a Progress,
    /// Bytes the whole file has, if known.
    pub(super) total: Option<u64>,
    /// Counts what comes.
    pub(super) received: &'a Counter,
    /// Says whether more may come.
    pub(super) meter: Option<&'a dyn super::Meter>,
    /// When somebody was told last.
    pub(super) told: &'a mut Option<Instant>,
}

/// Receives a body into the partial file. Whatever the end, what was received is durable when it returns; but where there
/// was no room for all of it, nothing of it is left.
pub(super) async fn receive(
    mut response: Response,
    partial: Partial,
    mut pace: Pace<'_>,
) -> Result<(Partial, End), FetchError> {
    let mut position = partial.position();
    let (pieces, writer) = write_beside(partial);
    let mut meter = Meter::default();
    let end = loop {
        let asked = Instant::now();
        let piece = match tokio::time::timeout(pace.settings.stall_timeout, response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break End::Whole,
            Ok(Err(error)) => {
                break End::Broken(format!("the server broke off: {}", causes(&error.without_url())));
            }
            Err(_) => break End::Broken("the server stalls".to_owned()),
        };
        let length = piece.len() as u64;
        if let Some(rate) = meter.too_slow(asked.elapsed(), length, pace.settings) {
            break End::Broken(format!("the server sends {rate} bytes a second, too slow to wait for"));
        }
        position = position.saturating_add(length);
        pace.received.inc_by(length);
        if pace.total.is_some_and(|total| position > total) {
            break End::TooLong(position);
        }
        // Counted before they are on the disk. They came and are good, also where no more may.
        let counted = match pace.meter {
            Some(meter) => meter.count(length).await,
            None => Ok(()),
        };
        if pieces.send(piece).await.is_err() {
            break End::Broken("the disk failed".to_owned());
        }
        pace.tell(position);
        if let Err(why) = counted {
            break End::Capped(why);
        }
    };
    drop((response, pieces));
    let (partial, written) =
        writer.await.map_err(|error| FetchError::Io(format!("cannot write: {error}")))?;
    written?;
    Ok((partial, end))
}

type Writer = JoinHandle<(Partial, Result<(), ArtifactError>)>;

/// Where pieces go on their way to the writer.
struct Pieces {
    queue: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Pieces {
    /// Waits for room. An error says that the writer gave up; it tells why when it is joined.
    async fn send(&self, piece: Bytes) -> Result<(), WriterGone> {
        let bytes = u32::try_from(piece.len()).unwrap_or(WAITING).min(WAITING);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| WriterGone)?;
        self.queue.send((piece, room)).await.map_err(|_| WriterGone)
    }
}

struct WriterGone;

/// A thread that writes what is sent to it, and makes it durable once nothing more comes; where there is no room for it,
/// throws it away. It outlives a fetch that is dropped, and gives the file's claim back when it is done.
fn write_beside(mut partial: Partial) -> (Pieces, Writer) {
    let (sender, mut queue) = mpsc::channel::<(Bytes, OwnedSemaphorePermit)>(QUEUE);
    let writer = tokio::task::spawn_blocking(move || {
        let mut written = Ok(());
        let mut batch = Vec::with_capacity(BATCH);
        while let Some((piece, room)) = queue.blocking_recv() {
            batch.clear();
            batch.extend_from_slice(&piece);
            drop((piece, room));
            while batch.len() < BATCH
                && let Ok((piece, _room)) = queue.try_recv()
            {
                batch.extend_from_slice(&piece);
            }
            written = partial.write(&batch);
            if written.is_err() {
                break;
            }
        }
        drop(queue);
        // What there is no room for cannot become whole, and what has come of it only takes the room of others.
        let kept = match written {
            Err(ArtifactError::NoRoom { .. }) => partial.restart(),
            _ => partial.pause(),
        };
        (partial, written.and(kept))
    });
    (Pieces { queue: sender, room: Arc::new(Semaphore::new(WAITING as usize)) }, writer)
}

impl Pace<'_> {
    fn tell(&mut self, position: u64) {
        if self.told.is_none_or(|told| told.elapsed() >= self.settings.progress_every) {
            *self.told = Some(Instant::now());
            (self.progress)(position, self.total);
        }
    }
}

/// Bytes over time spent waiting for them.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    waited: Duration,
    bytes: u64,
}

impl Meter {
    /// The rate in bytes per second, if a whole window went by below the least one.
    pub(crate) fn too_slow(&mut self, waited: Duration, bytes: u64, settings: &FetchSettings) -> Option<u64> {
        self.waited = self.waited.saturating_add(waited);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < settings.rate_window {
            return None;
        }
        let rate = (self.bytes as f64 / self.waited.as_secs_f64().max(f64::EPSILON)) as u64;
        *self = Self::default();
        (rate < settings.minimum_rate).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_slow_window_is_too_slow() {
        let settings =
            FetchSettings { minimum_rate: 100, rate_window: Duration::from_secs(10), ..Default::default() };
        let mut meter = Meter::default();
        assert_eq!(meter.too_slow(Duration::from_secs(9), 1, &settings), None);
        assert_eq!(
            meter.too_slow(Duration::from_secs(1), 999, &settings),
            None,
            "1000 bytes in 10 s are enough"
        );
        assert_eq!(meter.too_slow(Duration::from_secs(9), 900, &settings), None, "a new window");
        assert_eq!(meter.too_slow(Duration::from_secs(1), 0, &settings), Some(90));
        assert_eq!(meter.too_slow(Duration::from_secs(20), 20, &settings), Some(1));
    }
}
