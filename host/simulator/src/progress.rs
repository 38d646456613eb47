//! How far a long run has come, a line every so often.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Seconds between two lines.
const EVERY: u64 = 15;

/// Counts cuts, from any thread.
#[derive(Debug)]
pub struct Progress {
    wanted: u64,
    made: AtomicU64,
    /// When something was told last, in seconds since the start.
    told: AtomicU64,
    start: Instant,
}

impl Progress {
    /// None made yet, of so many.
    pub fn new(wanted: u64) -> Progress {
        Progress { wanted, made: AtomicU64::new(0), told: AtomicU64::new(0), start: Instant::now() }
    }

    /// So many more.
    pub fn made(&self, cuts: u64) {
        self.made.fetch_add(cuts, Relaxed);
        let (now, told) = (self.start.elapsed().as_secs(), self.told.load(Relaxed));
        // Of all threads one tells.
        if now >= told + EVERY && self.told.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            eprintln!("  {self}, {} wanted", self.wanted);
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (made, time) = (self.made.load(Relaxed), self.start.elapsed().as_secs_f64());
        write!(out, "{made} cuts in {time:.1} s, {:.0} a second", made as f64 / time)
    }
}
