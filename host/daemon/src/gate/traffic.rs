//! The bytes that came over a metered link, counted ahead of themselves.
//!
//! The disk is written once for each step, before the bytes of the step come: what a power cut leaves is a count that is
//! too high by a step at most. Where nothing is capped nothing is counted and nothing written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use hotshoe_core::policy::traffic::{DownloadPolicy, Ledger};
use hotshoe_core::window::Offset;

use crate::disk::blocking;
use crate::fetch::{Clock, Meter};
use crate::state::{StateDir, StateError};

/// The file of the count.
const FILE: &str = "ledger";
/// The largest step; a hundredth of the smallest cap where that is less.
const STEP: u64 = 4 * 1024 * 1024;
/// The smallest step.
const LEAST_STEP: u64 = 64 * 1024;

/// Counts bytes. Cheap to clone; clones share the count.
#[derive(Clone)]
pub struct Traffic(Arc<Inner>);

struct Inner {
    policy: DownloadPolicy,
    offset: Offset,
    clock: Clock,
    built: u64,
    state: StateDir,
    counted: Mutex<Counted>,
    /// Held by whoever writes, so that steps reach the disk in their order.
    writing: tokio::sync::Mutex<()>,
}

struct Counted {
    /// What came.
    ledger: Ledger,
    /// How many bytes more may come before the disk is written again. None while it is being written: what it says then
    /// was counted before.
    ahead: u64,
}

impl Traffic {
    pub(super) fn open(
        policy: DownloadPolicy,
        offset: Offset,
        clock: Clock,
        built: u64,
        state: StateDir,
    ) -> Result<Traffic, StateError> {
        let ledger = state.read::<Ledger>(FILE)?.unwrap_or_default();
        let counted = Mutex::new(Counted { ledger, ahead: 0 });
        let writing = tokio::sync::Mutex::new(());
        Ok(Traffic(Arc::new(Inner { policy, offset, clock, built, state, counted, writing })))
    }

    /// The count of today and of this month.
    pub(super) fn ledger(&self) -> Ledger {
        let mut counted = self.0.counted();
        let now = (self.0.clock)();
        let ledger = counted.ledger.at(now, now >= self.0.built, self.0.offset);
        if ledger != counted.ledger {
            // Another day: what was written ahead was the last one's.
            *counted = Counted { ledger, ahead: 0 };
        }
        ledger
    }

    /// Counts bytes as come if the disk says already that they have; how much room is left after them.
    fn take(&self, bytes: u64) -> Option<u64> {
        self.ledger();
        let mut counted = self.0.counted();
        counted.ahead = counted.ahead.checked_sub(bytes)?;
        counted.ledger = counted.ledger.with(bytes);
        Some(self.0.policy.room(&counted.ledger))
    }

    async fn write_ahead(&self, bytes: u64) -> Result<(), String> {
        let _alone = self.0.writing.lock().await;
        self.ledger();
        let ledger = {
            let mut counted = self.0.counted();
            if counted.ahead >= bytes {
                return Ok(());
            }
            counted.ahead = 0;
            counted.ledger
        };
        let least = self.0.policy.cap.iter().map(|cap| cap.bytes / 100).min().unwrap_or(STEP);
        let step = least.clamp(LEAST_STEP, STEP).max(bytes);
        let (state, stored) = (self.0.state.clone(), ledger.with(step));
        let written = blocking(move || state.write(FILE, &stored)).await;
        match written {
            Ok(Ok(())) => {
                let mut counted = self.0.counted();
                // Else another day has begun, of which the disk says nothing.
                if counted.ledger == ledger {
                    counted.ahead = step;
                }
                Ok(())
            }
            Ok(Err(error)) => Err(format!("the bytes of a metered link were not counted: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Meter for Traffic {
    fn count(&self, bytes: u64) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            if !self.0.policy.is_capped() {
                return Ok(());
            }
            let room = loop {
                match self.take(bytes) {
                    Some(room) => break room,
                    None => self.write_ahead(bytes).await?,
                }
            };
            if room == 0 {
                Err("the download cap of the device's policy is reached".to_owned())
            } else {
                Ok(())
            }
        })
    }
}

impl Inner {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use hotshoe_core::policy;

    use super::*;

    fn opened(place: &tempfile::TempDir, now: u64) -> Traffic {
        let policy = policy::parse("[download]\ncap = \"10MiB/day\"").unwrap();
        let state = StateDir::new(Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap());
        Traffic::open(policy.download, Offset::default(), Arc::new(move || now), 0, state).unwrap()
    }

    #[tokio::test]
    async fn the_count_survives_and_errs_upwards_by_a_step() {
        let place = tempfile::tempdir().unwrap();
        let (today, tomorrow) = (1_795_392_000, 1_795_392_000 + 86_400);
        let policy = policy::parse("[download]\ncap = \"10MiB/day\"").unwrap().download;
        let traffic = opened(&place, today);
        for _ in 0..4 {
            traffic.count(1 << 20).await.unwrap();
        }
        let room = policy.room(&traffic.ledger());
        assert_eq!(room, 6 << 20);
        drop(traffic);
        let again = opened(&place, today);
        let kept = policy.room(&again.ledger());
        assert!(kept <= room && kept >= room - (1 << 20), "{kept}");
        assert!(again.count(6 << 20).await.is_err(), "the cap is reached");
        drop(again);
        assert_eq!(policy.room(&opened(&place, tomorrow).ledger()), 10 << 20);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_while_the_disk_is_written_is_not_left_out() {
        let place = tempfile::tempdir().unwrap();
        let today = 1_795_392_000;
        let policy = policy::parse("[download]\ncap = \"10MiB/day\"").unwrap().download;
        let traffic = opened(&place, today);
        // A hundredth of the cap is written ahead, and nearly all of it has come.
        traffic.count(100_000).await.unwrap();
        let (one, other) = tokio::join!(traffic.count(50_000), traffic.count(4_000));
        one.unwrap();
        other.unwrap();
        for _ in 0..200 {
            traffic.count(1_000).await.unwrap();
            let kept = policy.room(&opened(&place, today).ledger());
            assert!(kept <= policy.room(&traffic.ledger()), "after a power cut more may come than now");
        }
    }

    #[tokio::test]
    async fn nothing_is_written_where_nothing_is_capped() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDir::new(Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap());
        let clock: Clock = Arc::new(|| 0);
        let traffic = Traffic::open(DownloadPolicy::default(), Offset::default(), clock, 0, state).unwrap();
        traffic.count(u64::MAX).await.unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
