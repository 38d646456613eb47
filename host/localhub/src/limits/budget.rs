//! Bytes that may be held at once, counted where they come in and given back where they are dropped.
//!
//! Not an allocator's count but a promise's: whoever takes in bytes of a client's making takes a [`Share`] first.
//! A budget may stand under a larger one (a device's queue under the hub's memory), and then takes from both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes to share out.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    above: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), above: None })
    }

    /// A budget of its own that also counts against this one.
    pub(crate) fn below(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), above: Some(Arc::clone(self)) })
    }

    /// A share of so many bytes, unless there are too few left.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut share = Share { budget: Arc::clone(self), bytes: 0 };
        share.grow(bytes).then_some(share)
    }

    fn add(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        if self.above.as_ref().is_none_or(|above| above.add(bytes)) {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.give_back(bytes);
        }
    }
}

/// Bytes held; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Takes more. False, with nothing taken, when there are too few left.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let grown = self.budget.add(bytes);
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Gives everything back, to be grown anew.
    pub(crate) fn clear(&mut self) {
        self.budget.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_against_both_budgets_and_comes_back_when_dropped() {
        let whole = Budget::new(100);
        let queue = whole.below(60);
        let mut first = queue.take(50).unwrap();
        assert!(!first.grow(11), "the queue's own limit");
        let second = whole.take(50).unwrap();
        assert!(!first.grow(1), "the whole is used up");
        drop(second);
        assert!(first.grow(10));
        drop(first);
        assert!(whole.take(101).is_none());
        assert!(whole.take(100).is_some());
        assert!(whole.take(usize::MAX).is_none());
    }
}
