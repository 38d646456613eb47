//! What one call may take: the one place for it.
//!
//! | Bound | Why so much |
//! |---|---|
//! | memory, all memories of the instance together | the manifest's, at most the device's; two memories do not make it twice |
//! | memories, tables, core instances | language runtimes are made of several; a component of Rust has 1 to 5 |
//! | elements of all tables together | a table holds what is called indirectly; Python's has 12,000 |
//! | handles of the guest, things of the host behind them | a job holds a handful |
//! | bytes handed over in one call of the host | a chunk that is copied into the host's memory before anything checks it |
//!
//! The engine asks here before anything grows and before anything is instantiated, so what is refused was never made.
//! The pool (`plugin::engine`) is made of the same figures: what passes here has a place there. What code looks like, and
//! with it the stack, is `hotshoe-engine-config`'s; time is `plugin::meter`'s and the call's; how many calls there are
//! at once is `plugin::admission`'s; how often the host is asked is `allowance`'s.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::gauge::Gauge;
use wasmtime::ResourceLimiter;

/// How many core instances one call may have.
pub(crate) const CORE_INSTANCES: u32 = 40;
/// How many memories.
pub(crate) const MEMORIES: u32 = 2;
/// How many tables.
pub(crate) const TABLES: u32 = 16;
/// How many elements in all its tables.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// The most handles a guest may hold, of its own resources and the host's.
pub(crate) const HANDLES: usize = 1000;
/// How many things of the host (files, stagings, streams, pauses) may stand behind them.
pub(super) const RESOURCES: usize = 256;
/// The most a guest hands over in one call of the host, in bytes. It is copied before anybody looks at it.
pub(crate) const HANDED_OVER: usize = 1024 * 1024;

/// The limits of one instance.
pub(crate) struct Limits {
    memory: Room,
    elements: Room,
    peak: Gauge,
}

/// How much of something all growing things together have and may have.
struct Room {
    limit: usize,
    taken: usize,
    /// What was allowed last: given back should the growth itself fail.
    last: usize,
}

impl Room {
    fn new(limit: usize) -> Room {
        Room { limit, taken: 0, last: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let more = desired.saturating_sub(current);
        let taken = self.taken.saturating_add(more);
        if taken > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        (self.taken, self.last) = (taken, more);
        true
    }

    fn failed(&mut self) {
        self.taken = self.taken.saturating_sub(std::mem::take(&mut self.last));
    }
}

impl Limits {
    /// All its memories together may have this many bytes; `peak` is raised to what they have.
    pub(super) fn new(memory: u64, peak: Gauge) -> Limits {
        let memory = Room::new(usize::try_from(memory).unwrap_or(usize::MAX));
        Limits { memory, elements: Room::new(TABLE_ELEMENTS), peak }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.memory.grow(current, desired, maximum);
        if allowed {
            let memory = i64::try_from(self.memory.taken).unwrap_or(i64::MAX);
            self.peak.inner().fetch_max(memory, Ordering::Relaxed);
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.failed();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.elements.grow(current, desired, maximum))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_the_peak_are_of_all_memories_together() {
        let peak = Gauge::default();
        let mut first = Limits::new(1000, peak.clone());
        assert!(first.memory_growing(0, 300, None).unwrap());
        assert!(first.memory_growing(0, 100, Some(200)).unwrap());
        assert!(first.memory_growing(300, 500, None).unwrap());
        assert!(!first.memory_growing(0, 500, None).unwrap(), "each alone would fit");
        assert!(!first.memory_growing(100, 300, Some(200)).unwrap(), "over its own maximum");
        assert!(first.memory_growing(0, 400, None).unwrap());
        assert_eq!(peak.get(), 1000);
        assert!(Limits::new(1000, peak.clone()).memory_growing(0, 400, None).unwrap());
        assert_eq!(peak.get(), 1000, "a smaller instance lowers nothing");
    }

    #[test]
    fn what_could_not_grow_takes_nothing() {
        let mut limits = Limits::new(1000, Gauge::default());
        assert!(limits.memory_growing(0, 900, None).unwrap());
        limits.memory_grow_failed(wasmtime::format_err!("no room")).unwrap();
        // Told of something that was never asked: the engine does so for a size past every address.
        limits.memory_grow_failed(wasmtime::format_err!("no room")).unwrap();
        assert!(limits.memory_growing(0, 1000, None).unwrap());
        assert!(limits.table_growing(0, TABLE_ELEMENTS - 1, None).unwrap());
        assert!(!limits.table_growing(0, 2, None).unwrap(), "all tables together");
    }
}
