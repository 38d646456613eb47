//! How long a guest computes without a pause.
//!
//! A plain deadline counts the time a guest waits for the host, and would kill a healthy job that downloads for
//! minutes. So what is limited is a *burst*: the processor time of the thread between two waits for the host. It is
//! the thread's own time that counts, as the kernel keeps it: a device under load does not make a healthy guest look
//! like a runaway one, and a runaway one gains nothing from being scheduled seldom.
//!
//! [`Meter::watch`] wraps the future in which the guest runs. Each poll of it is a stretch of computing; between two
//! polls the guest either waited for the host, which ends the burst, or was made to give way by the tick, which does
//! not. Time inside host functions that do not wait is the guest's: it asked for it.
//!
//! This does not limit how often a guest computes and waits in turn; the wall-clock limit of the call does. But it is
//! seen: who computed for more than a [`SLICE`] and did not rest for as long takes turns ([`super::admission`]), one poll
//! a turn. So neither a guest that spins nor one that rests for a moment before each tick keeps others waiting.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::ready;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::ticker::TICK;

/// How much more a guest may have computed than rested before it takes turns.
const SLICE: Duration = TICK;

/// The processor time of one guest. Cheap to clone; clones are the same meter.
#[derive(Clone)]
pub(super) struct Meter(Arc<Inner>);

struct Inner {
    /// Nanoseconds of the burst before the current poll.
    burst: AtomicU64,
    /// The thread's processor time when the current poll began, in nanoseconds.
    poll_began: AtomicU64,
    /// Whether the guest was made to give way, rather than waited.
    gave_way: AtomicBool,
    /// Nanoseconds that a burst may have.
    limit: u64,
    /// Nanoseconds of all polls that have ended.
    total: AtomicU64,
}

/// A guest computed longer than it may without waiting for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plugin computed for {} ms without a pause, which is the limit", limit.as_millis())]
pub(super) struct Exhausted {
    limit: Duration,
}

impl Meter {
    /// A meter that lets a burst take this long.
    pub(super) fn new(limit: Duration) -> Meter {
        Meter(Arc::new(Inner {
            burst: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            gave_way: AtomicBool::new(false),
            limit: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            total: AtomicU64::new(0),
        }))
    }

    /// The processor time of all that was watched so far.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.total.load(Ordering::Relaxed))
    }

    /// Runs a future and measures it. Who computes for long waits for a turn, as `turn` gives them, before each poll.
    pub(super) async fn watch<F: Future, T: Future>(&self, future: F, turn: impl Fn() -> T) -> F::Output {
        let mut future = pin!(future);
        let inner = &self.0;
        let mut balance = Balance::default();
        let mut waiting: Option<Pin<Box<T>>> = None;
        poll_fn(|context| {
            if waiting.is_none() && balance.owes(inner.gave_way.load(Ordering::Relaxed)) {
                waiting = Some(Box::pin(turn()));
            }
            let held = match &mut waiting {
                Some(turn) => Some(ready!(turn.as_mut().poll(context))),
                None => None,
            };
            waiting = None;
            let began = thread_time();
            inner.poll_began.store(began, Ordering::Relaxed);
            inner.gave_way.store(false, Ordering::Relaxed);
            let polled = future.as_mut().poll(context);
            let computed = thread_time().saturating_sub(began);
            inner.total.fetch_add(computed, Ordering::Relaxed);
            if inner.gave_way.load(Ordering::Relaxed) {
                inner.burst.fetch_add(computed, Ordering::Relaxed);
            } else {
                inner.burst.store(0, Ordering::Relaxed);
            }
            balance.computed(Duration::from_nanos(computed));
            drop(held);
            polled
        })
        .await
    }

    /// What to do with a guest that a tick has found computing, called on its thread.
    pub(super) fn on_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        let inner = &self.0;
        let current = thread_time().saturating_sub(inner.poll_began.load(Ordering::Relaxed));
        if inner.burst.load(Ordering::Relaxed).saturating_add(current) >= inner.limit {
            return Err(Exhausted { limit: Duration::from_nanos(inner.limit) }.into());
        }
        inner.gave_way.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::Yield(1))
    }
}

/// How much more a guest has computed than rested.
#[derive(Default)]
struct Balance {
    debt: Duration,
    /// When it last stopped computing.
    rests: Option<Instant>,
}

impl Balance {
    /// Whether it is to take turns; asked before it computes. Being made to give way is no rest.
    fn owes(&mut self, gave_way: bool) -> bool {
        if let Some(since) = self.rests.take().filter(|_| !gave_way) {
            self.debt = self.debt.saturating_sub(since.elapsed());
        }
        self.debt >= SLICE
    }

    fn computed(&mut self, time: Duration) {
        self.debt = self.debt.saturating_add(time);
        self.rests = Some(Instant::now());
    }
}

/// The processor time of this thread in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes for about this much processor time.
    fn compute(time: Duration) {
        let until = thread_time() + u64::try_from(time.as_nanos()).unwrap();
        while thread_time() < until {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn a_burst_that_only_gives_way_ends() {
        let meter = Meter::new(Duration::from_millis(20));
        let killed = meter
            .watch(
                async {
                    for round in 0..1000 {
                        compute(Duration::from_millis(1));
                        if meter.on_tick().is_err() {
                            return Some(round);
                        }
                        tokio::task::yield_now().await;
                    }
                    None
                },
                || std::future::ready(()),
            )
            .await;
        assert!(killed.is_some_and(|round| round > 0), "{killed:?}");
    }

    #[tokio::test]
    async fn waiting_for_the_host_begins_a_new_burst() {
        let meter = Meter::new(Duration::from_millis(20));
        meter
            .watch(
                async {
                    for _ in 0..10 {
                        compute(Duration::from_millis(5));
                        meter.on_tick().unwrap();
                        tokio::task::yield_now().await;
                        // No tick before this one: the guest waits.
                        tokio::task::yield_now().await;
                    }
                },
                || std::future::ready(()),
            )
            .await;
        assert!(meter.total() >= Duration::from_millis(50), "all of it is counted: {:?}", meter.total());
    }

    #[tokio::test]
    async fn who_computes_for_long_takes_turns_also_if_it_rests_a_little() {
        let turns = AtomicU64::new(0);
        let count = || {
            turns.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        };
        // How many turns are due is known from within, where rests are seen as longer than they are: on a machine that
        // does other things one of them may be long. Then it is tried again.
        let mut due = 0;
        for _ in 0..50 {
            let restless = async {
                let (mut due, mut debt) = (0, Duration::ZERO);
                for _ in 0..20 {
                    compute(Duration::from_millis(5));
                    let rests = Instant::now();
                    // It waits for something that is there at once.
                    tokio::task::yield_now().await;
                    debt = (debt + Duration::from_millis(5)).saturating_sub(rests.elapsed());
                    due += u64::from(debt >= SLICE);
                }
                due
            };
            due = Meter::new(Duration::from_secs(1)).watch(restless, count).await;
            let taken = turns.swap(0, Ordering::Relaxed);
            assert!(taken >= due, "{taken} of {due}");
            if due >= 15 {
                break;
            }
        }
        assert!(due > 0, "it was never seen to be restless");

        let calm = async {
            for _ in 0..5 {
                compute(Duration::from_millis(5));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        Meter::new(Duration::from_secs(1)).watch(calm, count).await;
        assert_eq!(turns.load(Ordering::Relaxed), 0);
    }
}
