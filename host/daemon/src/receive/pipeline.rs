//! From the network's task to the slot: a few buffers that go round, a thread that verifies and writes, one that syncs.
//!
//! The buffers are all there are: when the slot is slower than the network they run out, and the network waits. Without
//! threads the same steps are made in turn, always in the same order, which is what a simulator cuts.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc::{SyncSender, TrySendError, sync_channel},
};

use hotshoe_core::image::Tree;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    ReceiveError, ReceiveSettings,
    keeper::Keeper,
    sink::{BATCH, CHUNK_BYTES, Sink, Verdict, Work, locked},
};
use crate::{
    disk::Buffer,
    flash::{FlashError, Staging},
};

/// Buffers of [`BATCH`] chunks: 2 MiB are under way at most.
const BUFFERS: usize = 4;

/// Where received bytes go.
pub(super) struct Pipeline {
    lane: Lane,
    verdict: Arc<Mutex<Verdict>>,
    hurry: Arc<AtomicBool>,
}

enum Lane {
    InTurn { sink: Box<Sink>, keeper: Keeper, free: Vec<Buffer> },
    Beside(Beside),
}

struct Beside {
    queue: mpsc::Sender<Work>,
    back: mpsc::Receiver<Buffer>,
    /// Buffers that are with the threads.
    out: usize,
    free: Vec<Buffer>,
    writer: JoinHandle<Result<(), FlashError>>,
    keeper: JoinHandle<Result<(), FlashError>>,
}

/// The threads gave up; [`Pipeline::finish`] tells why.
pub(super) struct Gone;

impl Pipeline {
    pub(super) fn start(
        staging: &Arc<Mutex<Staging>>,
        tree: Option<&Arc<Tree>>,
        settings: &ReceiveSettings,
    ) -> Self {
        let (verdict, hurry) = (Arc::<Mutex<Verdict>>::default(), Arc::<AtomicBool>::default());
        let sink = Sink::new(Arc::clone(staging), tree.cloned(), Arc::clone(&verdict));
        let keeper = Keeper::new(Arc::clone(staging), tree.cloned(), settings, Arc::clone(&hurry));
        let lane = match settings.overlaps() {
            true => Lane::Beside(Beside::start(sink, keeper)),
            false => Lane::InTurn { sink: Box::new(sink), keeper, free: vec![buffer(), buffer()] },
        };
        Self { lane, verdict, hurry }
    }

    /// An empty buffer for the chunks from this one on. Waits until there is one.
    pub(super) async fn work(&mut self, first: u64) -> Result<Work, Gone> {
        let buffer = match &mut self.lane {
            Lane::InTurn { free, .. } => free.pop().unwrap_or_else(buffer),
            Lane::Beside(beside) => beside.buffer().await?,
        };
        Ok(Work { buffer, first, filled: 0, frame: None })
    }

    /// Hands bytes over.
    pub(super) async fn send(&mut self, mut work: Work) -> Result<(), Gone> {
        match &mut self.lane {
            Lane::InTurn { sink, keeper, free } => {
                let taken = sink.take(&mut work).and_then(|()| keeper.step());
                free.push(work.buffer);
                taken.map_err(|error| {
                    locked(&self.verdict).failed = Some(error);
                    Gone
                })
            }
            Lane::Beside(beside) => {
                beside.out = beside.out.saturating_add(1);
                beside.queue.send(work).await.map_err(|_| Gone)
            }
        }
    }

    /// A buffer that is not needed after all.
    pub(super) fn give_back(&mut self, work: Work) {
        match &mut self.lane {
            Lane::InTurn { free, .. } | Lane::Beside(Beside { free, .. }) => free.push(work.buffer),
        }
    }

    /// Whether something that was sent may not be in the slot yet.
    pub(super) fn under_way(&self) -> bool {
        matches!(&self.lane, Lane::Beside(beside) if beside.out > 0)
    }

    /// Waits until everything that was sent is in the slot or found wrong. Not durable. May be dropped and called again.
    pub(super) async fn drain(&mut self) -> Result<(), Gone> {
        let Lane::Beside(beside) = &mut self.lane else { return Ok(()) };
        while beside.out > 0 {
            let buffer = beside.back.recv().await.ok_or(Gone)?;
            beside.take_back(buffer);
        }
        Ok(())
    }

    /// What was found out since this was asked last.
    pub(super) fn verdict(&self) -> Verdict {
        let mut verdict = locked(&self.verdict);
        let failed = verdict.failed.take();
        std::mem::replace(&mut *verdict, Verdict { failed, ..Verdict::default() })
    }

    /// Makes everything durable. In a `hurry` nothing is read back any more.
    pub(super) async fn finish(self, hurry: bool) -> Result<(), ReceiveError> {
        self.hurry.store(hurry, Ordering::Relaxed);
        match self.lane {
            Lane::InTurn { mut keeper, .. } => {
                let failed = locked(&self.verdict).failed.take();
                failed.map_or(Ok(()), Err)?;
                Ok(keeper.keep()?)
            }
            Lane::Beside(Beside { queue, writer, keeper, .. }) => {
                drop(queue);
                let written = writer.await.map_err(|error| ReceiveError::stopped(&error))?;
                let kept = keeper.await.map_err(|error| ReceiveError::stopped(&error))?;
                Ok(kept.and(written)?)
            }
        }
    }
}

impl Beside {
    fn start(sink: Sink, keeper: Keeper) -> Self {
        let (queue, queued) = mpsc::channel(BUFFERS);
        let (returned, back) = mpsc::channel(BUFFERS);
        let (wake, woken) = sync_channel(1);
        let writer = tokio::task::spawn_blocking(move || write(sink, queued, &returned, &wake));
        let keeper = tokio::task::spawn_blocking(move || keeper.run(&woken));
        let free = std::iter::repeat_with(buffer).take(BUFFERS).collect();
        Self { queue, back, out: 0, free, writer, keeper }
    }

    async fn buffer(&mut self) -> Result<Buffer, Gone> {
        if let Some(buffer) = self.free.pop() {
            return Ok(buffer);
        }
        let buffer = self.back.recv().await.ok_or(Gone)?;
        self.out = self.out.saturating_sub(1);
        Ok(buffer)
    }

    fn take_back(&mut self, buffer: Buffer) {
        self.out = self.out.saturating_sub(1);
        self.free.push(buffer);
    }
}

/// The thread that verifies and writes. It outlives a receiving that is dropped, and so does the one that syncs.
fn write(
    mut sink: Sink,
    mut queued: mpsc::Receiver<Work>,
    returned: &mpsc::Sender<Buffer>,
    wake: &SyncSender<()>,
) -> Result<(), FlashError> {
    while let Some(mut work) = queued.blocking_recv() {
        sink.take(&mut work)?;
        if matches!(wake.try_send(()), Err(TrySendError::Disconnected(()))) {
            // The one who syncs has failed, and will say why.
            return Ok(());
        }
        // Nobody may be there any more to take it.
        let _ = returned.blocking_send(work.buffer);
    }
    Ok(())
}

fn buffer() -> Buffer {
    Buffer::new(CHUNK_BYTES.saturating_mul(BATCH as usize))
}
