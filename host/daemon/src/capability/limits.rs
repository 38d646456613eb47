//! What one instance may take of memory and tables, and the most it took.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::gauge::Gauge;
use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// How many core instances, tables and memories one call may have, and how large a table.
const INSTANCES: usize = 64;
const TABLES: usize = 32;
const TABLE_ELEMENTS: usize = 20_000;
const MEMORIES: usize = 2;

/// The limits of one instance.
pub(crate) struct Limits {
    limits: StoreLimits,
    /// All its memories together, in bytes.
    memory: usize,
    peak: Gauge,
}

impl Limits {
    /// Each memory may have this many bytes; `peak` is raised to what they have together.
    pub(super) fn new(memory: u64, peak: Gauge) -> Limits {
        let limits = StoreLimitsBuilder::new()
            .memory_size(usize::try_from(memory).unwrap_or(usize::MAX))
            .memories(MEMORIES)
            .tables(TABLES)
            .table_elements(TABLE_ELEMENTS)
            .instances(INSTANCES)
            .build();
        Limits { limits, memory: 0, peak }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory_growing(current, desired, maximum)?;
        if allowed && maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory = self.memory.saturating_add(desired.saturating_sub(current));
            let memory = i64::try_from(self.memory).unwrap_or(i64::MAX);
            self.peak.inner().fetch_max(memory, Ordering::Relaxed);
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_granted_of_all_memories() {
        let peak = Gauge::default();
        let mut first = Limits::new(1000, peak.clone());
        assert!(first.memory_growing(0, 300, None).unwrap());
        assert!(first.memory_growing(0, 100, Some(200)).unwrap());
        assert!(first.memory_growing(300, 500, None).unwrap());
        assert!(!first.memory_growing(500, 2000, None).unwrap());
        assert_eq!(peak.get(), 600);
        assert!(Limits::new(1000, peak.clone()).memory_growing(0, 400, None).unwrap());
        assert_eq!(peak.get(), 600, "a smaller instance lowers nothing");
    }
}
