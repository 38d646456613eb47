//! Whether a rule strikes this time: odds, and the count that makes them repeatable.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How often a rule strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Odds {
    /// 0 to 1.
    pub(super) probability: f64,
    pub(super) seed: u64,
    /// The first so many times pass, for each device.
    pub(super) after: u64,
    /// It strikes at most so often, for each device.
    pub(super) times: u64,
}

/// So many devices have a count of their own.
const MOST: usize = 100_000;
/// The count that the others share.
const OTHERS: &str = "-";

/// How often devices came by a rule, and were struck.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bounded by [`MOST`] and not by the registry: over REST whoever reaches the port may name any device.
    devices: Mutex<HashMap<String, (u64, u64)>>,
    asked: AtomicU64,
    struck: AtomicU64,
}

impl Counts {
    /// True if it strikes this device now.
    pub(super) fn toss(&self, odds: &Odds, device: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let has_its_own = devices.contains_key(device) || devices.len() < MOST;
        let device = if has_its_own { device } else { OTHERS };
        if !devices.contains_key(device) {
            devices.insert(device.to_owned(), (0, 0));
        }
        let Some((visits, struck)) = devices.get_mut(device) else { return false };
        *visits += 1;
        let strikes = *visits > odds.after
            && *struck < odds.times
            && uniform(odds.seed, device, *visits) < odds.probability;
        if strikes {
            *struck += 1;
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
        strikes
    }

    /// How often it was asked, and struck, over all devices.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.struck.load(Ordering::Relaxed))
    }
}

/// A number in 0..1 that depends on nothing but its arguments: FNV-1a over them, mixed as SplitMix64 does.
fn uniform(seed: u64, device: &str, visit: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().iter().chain(device.as_bytes()).chain(&visit.to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    // 53 bits are what an f64 holds exactly.
    #[allow(clippy::cast_precision_loss)] // they fit
    let number = (hash >> 11) as f64;
    number / 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_many_devices_takes_neither_memory_nor_the_counts_of_others() {
        let counts = Counts::default();
        let second = Odds { probability: 1.0, seed: 0, after: 1, times: 1 };
        assert!(!counts.toss(&second, "d"));
        for number in 0..2 * MOST {
            counts.toss(&second, &format!("made-up-{number}"));
        }
        assert!(counts.devices.lock().unwrap().len() <= MOST + 1);
        assert!(counts.toss(&second, "d"), "its own second time");
    }
}
