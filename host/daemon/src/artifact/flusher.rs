//! Makes a file on its way durable while it is being written.
//!
//! A thread of its own flushes the bytes and then notes in the journal how many are safe. So a power cut costs a
//! few MiB, and neither the network nor the writer waits for the disk's flush: requests that come while one is
//! under way become one, for the last position. A flush that failed is final; the writer learns it at the end.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use super::{ArtifactError, journal::Journal};
use crate::state::StateDir;

/// The thread. Stop it to learn whether all flushes were well.
#[derive(Debug)]
pub(super) struct Flusher {
    wanted: Arc<AtomicU64>,
    wake: SyncSender<()>,
    thread: JoinHandle<Result<(), ArtifactError>>,
}

impl Flusher {
    /// Starts it for a file and its journal, whose `durable` is what is safe already.
    pub(super) fn start(
        file: &File,
        state: StateDir,
        name: &str,
        mut journal: Journal,
    ) -> Result<Self, ArtifactError> {
        let file = file.try_clone().map_err(ArtifactError::io("open a partial file again"))?;
        let name = name.to_owned();
        let wanted = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&wanted);
        let (wake, woken) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new()
            .name("artifact-flush".to_owned())
            .spawn(move || {
                for () in woken {
                    let position = last.load(Ordering::Acquire);
                    if position > journal.durable {
                        flush(&file, &state, &name, &mut journal, position)?;
                    }
                }
                Ok(())
            })
            .map_err(ArtifactError::io("start the flushing thread"))?;
        Ok(Self { wanted, wake, thread })
    }

    /// Asks for the bytes before `position`, all written already, to be made durable soon.
    pub(super) fn request(&self, position: u64) {
        self.wanted.store(position, Ordering::Release);
        // A full queue wakes the thread anyway, and it will see this position.
        let _ = self.wake.try_send(());
    }

    /// Waits for the flush under way and tells whether all of them were well.
    pub(super) fn stop(self) -> Result<(), ArtifactError> {
        drop(self.wake);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => {
                Err(ArtifactError::io("flush a partial file")(io::Error::other("the flushing thread died")))
            }
        }
    }
}

/// Flushes the file, then notes that the bytes before `position` are safe. In this order.
///
/// A note that cannot be written (a full disk) costs a later process some bytes to fetch again, and nothing else.
pub(super) fn flush(
    file: &File,
    state: &StateDir,
    name: &str,
    journal: &mut Journal,
    position: u64,
) -> Result<(), ArtifactError> {
    file.sync_data().map_err(ArtifactError::io("flush a partial file"))?;
    journal.durable = position;
    if let Err(error) = state.write(name, journal) {
        tracing::warn!(%error, "cannot note how far a download is");
    }
    Ok(())
}
