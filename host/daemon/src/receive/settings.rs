//! How an image is received.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::fetch::FetchSettings;

/// Patience with sources, and how often what was received is made durable.
#[derive(Clone, Debug)]
pub struct ReceiveSettings {
    /// Time-outs, retries, pauses, and how often progress is told.
    pub fetch: FetchSettings,
    /// Most bytes that are written before they are made durable.
    pub flush_step: u64,
    /// Longest time that something written waits to be made durable. On a link that brings less than a chunk in this
    /// time a power cut costs one chunk. Zero: after each write.
    pub flush_every: Duration,
    /// Whether hashing, writing, syncing and reading back go on beside the network, on threads of their own. Without it
    /// everything happens in turn on the caller's thread, always in the same order; and so it does on a runtime of a
    /// single thread, see [`crate::disk::blocking`].
    pub overlap: bool,
    /// Holes between missing chunks that are fetched along, in bytes: what a request costs.
    pub merge_gap: u64,
}

impl ReceiveSettings {
    /// Whether it is really so.
    pub(super) fn overlaps(&self) -> bool {
        self.overlap && Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
    }
}

impl Default for ReceiveSettings {
    fn default() -> Self {
        Self {
            fetch: FetchSettings::default(),
            flush_step: 64 * 1024 * 1024,
            flush_every: Duration::from_millis(250),
            overlap: true,
            merge_gap: 0,
        }
    }
}
