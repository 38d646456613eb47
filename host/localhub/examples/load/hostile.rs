//! What hostile clients cost their neighbours: the time of a direct method, alone, beside each kind of
//! [`crate::attacks`], and beside all of them at once.
//!
//! The neighbours call at a steady pace far below what the hub can do, so that the figure is waiting, not working. All
//! at once is also watched to its end: the hub must have ended every connection that was opened to stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Place;
use crate::attacks::{ATTACKS, Attack, send};
use crate::figures::Latencies;

/// How many devices belong to the attackers, which is more than there are attackers with credentials.
pub(crate) const RESERVED: usize = 200;

const NEIGHBOURS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
const CALLS: usize = 250;
/// Longer than any of the hub's limits, which are a minute at most.
const PATIENCE: Duration = Duration::from_secs(150);

/// Measures all of them; gives the worst ratio of the p99 to the p99 alone.
pub(crate) async fn measure(
    hub: &Arc<Place>,
    connections: usize,
    devices: usize,
    tell: &mut impl FnMut(&str, f64, &str),
) -> f64 {
    let called = devices - RESERVED;
    let alone = neighbours(hub, called).await.at(0.99);
    tell("hub: method p99 alone, at a steady pace", alone, "ms");
    let mut worst: f64 = 0.0;
    for which in ATTACKS.iter().enumerate() {
        let mut assault = Assault::new(hub);
        assault.join(which, which.1.by_itself(connections), devices).await;
        assault.in_place().await;
        let beside = neighbours(hub, called).await.at(0.99);
        tell(&format!("hub: method p99 beside {}", which.1.name), beside, "ms");
        worst = worst.max(beside / alone);
        assault.end().await;
        sleep(Duration::from_millis(500)).await;
    }

    let mut assault = Assault::new(hub);
    for which in ATTACKS.iter().enumerate() {
        assault.join(which, which.1.among_others(connections), devices).await;
    }
    assault.in_place().await;
    tell("hub: hostile connections at once", assault.open() as f64, "connections");
    let beside = neighbours(hub, called).await.at(0.99);
    tell("hub: method p99 beside all of them at once", beside, "ms");
    tell("hub: memory meanwhile", hub.process.memory() as f64 / 1024.0 / 1024.0, "MiB");
    worst = worst.max(beside / alone);
    tell("hub: the last that stayed was ended after", assault.ended().await, "s");
    assault.end().await;
    tell("hub: worst p99 beside / alone", worst, "times");
    worst
}

/// Attackers at work.
struct Assault {
    hub: Arc<Place>,
    began: Instant,
    /// Files that the hub had open before.
    files: usize,
    staying: JoinSet<()>,
    coming_back: JoinSet<()>,
    in_place: Arc<AtomicUsize>,
    expected: usize,
}

impl Assault {
    fn new(hub: &Arc<Place>) -> Self {
        Self {
            hub: Arc::clone(hub),
            began: Instant::now(),
            files: hub.process.files(),
            staying: JoinSet::new(),
            coming_back: JoinSet::new(),
            in_place: Arc::default(),
            expected: 0,
        }
    }

    async fn join(&mut self, which: (usize, &'static Attack), count: usize, devices: usize) {
        let attackers = match which.1.stays {
            true => &mut self.staying,
            false => &mut self.coming_back,
        };
        self.expected += if which.1.stays { count } else { 0 };
        send(attackers, &self.hub, &self.in_place, which, (count, devices)).await;
    }

    /// How many connections the hub has of them.
    fn open(&self) -> usize {
        self.hub.process.files().saturating_sub(self.files)
    }

    /// Waits until all that stay have their connections, and the others have begun.
    async fn in_place(&mut self) {
        sleep(Duration::from_secs(2)).await;
        let (in_place, expected) = (Arc::clone(&self.in_place), self.expected);
        self.until("are not in place", || expected - in_place.load(Ordering::Relaxed)).await;
    }

    /// Waits until the hub has ended all that stay; the others stop before. Gives the seconds since the beginning.
    async fn ended(&mut self) -> f64 {
        self.coming_back.abort_all();
        let (hub, files) = (Arc::clone(&self.hub), self.files);
        self.until("are open at the hub", || hub.process.files().saturating_sub(files)).await;
        self.began.elapsed().as_secs_f64()
    }

    async fn until(&mut self, what: &str, left: impl Fn() -> usize) {
        let until = Instant::now() + PATIENCE;
        while left() > 0 {
            assert!(Instant::now() < until, "{} of {} {what}", left(), self.expected);
            sleep(Duration::from_millis(50)).await;
            while let Some(ended) = self.staying.try_join_next().or_else(|| self.coming_back.try_join_next())
            {
                check(ended);
            }
        }
    }

    /// Ends the attack. Fails if one of the attackers got what it wanted.
    async fn end(mut self) {
        for attackers in [&mut self.staying, &mut self.coming_back] {
            attackers.abort_all();
            while let Some(ended) = attackers.join_next().await {
                check(ended);
            }
        }
    }
}

fn check(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        assert!(error.is_cancelled(), "an attacker: {error}");
    }
}

async fn neighbours(hub: &Arc<Place>, devices: usize) -> Latencies {
    let mut callers = JoinSet::new();
    for number in 0..NEIGHBOURS {
        let hub = Arc::clone(hub);
        callers.spawn(async move {
            let mut caller = hub.caller().await;
            let mut latencies = Latencies::default();
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for call in 0..CALLS {
                pace.tick().await;
                let began = Instant::now();
                caller.invoke((call * NEIGHBOURS + number) % devices).await;
                latencies.push(began.elapsed());
            }
            latencies
        });
    }
    let mut all = Latencies::default();
    for latencies in callers.join_all().await {
        all.extend(latencies);
    }
    all
}
