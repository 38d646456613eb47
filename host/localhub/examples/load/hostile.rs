//! What hostile clients cost their neighbours: the time of a direct method, alone, beside each kind of
//! [`crate::attacks`], and beside all of them at once.
//!
//! The neighbours call at a steady pace far below what the hub can do, so that the figure is waiting, not working. Rounds
//! alone and rounds beside the attackers take turns, and what is compared is the median of the rounds' p99, so that a
//! machine that is busy with something else for a while is so for both. The attackers run at idle priority
//! ([`crate::army`]); a third kind of round has spinning processes of that priority instead of them, which shows what of
//! it is the machine's. The last round with all of them is watched to its end: the hub must have ended every
//! connection that was opened to stay.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::army::{Army, Deeds, idle_priority};
use crate::attacks::ATTACKS;
use crate::figures::{Latencies, median};
use crate::{Arguments, Place};

/// How many devices belong to the attackers, who have their credentials.
pub(crate) const RESERVED: usize = 1_000;

const NEIGHBOURS: usize = 4;
const PACE: Duration = Duration::from_millis(20);
/// Of each neighbour in a round, which takes five seconds.
const CALLS: usize = 250;
/// Longer than any of the hub's limits, which are a minute at most.
const PATIENCE: Duration = Duration::from_secs(150);

/// Measures all of them; gives the worst ratio of the p99 to the p99 alone. All at once have so many rounds, each kind by
/// itself half as many.
pub(crate) async fn measure(
    hub: &Arc<Place>,
    arguments: &Arguments,
    devices: usize,
    tell: &mut impl FnMut(&str, f64, &str),
) -> f64 {
    let (connections, rounds) = (arguments.hostile, arguments.rounds);
    let called = devices - RESERVED;
    let mut worst: f64 = 0.0;
    neighbours(hub, called).await;
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for (index, attack) in ATTACKS.iter().enumerate().filter(|(_, attack)| wanted(attack.name)) {
        let kinds = [(index, attack.by_itself(connections))];
        let mut rows = Rounds::default();
        for _ in 0..rounds.div_ceil(2) {
            rows.turn(hub, &kinds, (devices, called)).await.end(hub).await;
        }
        worst = worst.max(rows.tell(attack.name, Some(index), tell));
    }
    if arguments.only.is_some() {
        return worst;
    }

    let kinds: Vec<_> =
        ATTACKS.iter().enumerate().map(|(index, attack)| (index, attack.among_others(connections))).collect();
    let mut rows = Rounds::default();
    for round in 1..=rounds {
        let mut assault = rows.turn(hub, &kinds, (devices, called)).await;
        if round == rounds {
            tell("hub: hostile connections at once", assault.open as f64, "connections");
            tell("hub: memory meanwhile", hub.process.memory() as f64 / 1024.0 / 1024.0, "MiB");
            tell("hub: the last that stayed was ended after", assault.ended(hub).await, "s");
        }
        assault.end(hub).await;
        rows.spinning(hub, called).await;
    }
    for (index, attack) in ATTACKS.iter().enumerate() {
        rows.tell_rates(attack.name, Some(index), tell);
    }
    worst = worst.max(rows.tell("all of them at once", None, tell));
    tell("hub: worst p99 beside / alone", worst, "times");
    worst
}

/// Rounds of one comparison.
#[derive(Default)]
struct Rounds {
    alone: Vec<Latencies>,
    beside: Vec<Latencies>,
    spinning: Vec<Latencies>,
    deeds: Vec<Deeds>,
}

impl Rounds {
    /// A round alone, then one beside attackers, who are left at work.
    async fn turn(
        &mut self,
        hub: &Arc<Place>,
        kinds: &[(usize, usize)],
        (devices, called): (usize, usize),
    ) -> Assault {
        self.alone.push(neighbours(hub, called).await);
        let mut assault = Assault::begin(hub, kinds, devices).await;
        assault.army.deeds().await;
        self.beside.push(neighbours(hub, called).await);
        self.deeds.push(assault.army.deeds().await);
        assault
    }

    async fn spinning(&mut self, hub: &Arc<Place>, called: usize) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spin =
            |_| idle_priority(Path::new("sh")).args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn();
        let spinners: Vec<Child> = (0..cores).map(spin).collect::<Result<_, _>>().unwrap();
        sleep(Duration::from_millis(200)).await;
        self.spinning.push(neighbours(hub, called).await);
        drop(spinners);
    }

    /// Tells what there is; gives the ratio.
    fn tell(&self, name: &str, kind: Option<usize>, tell: &mut impl FnMut(&str, f64, &str)) -> f64 {
        let of = |rounds: &[Latencies], share| median(rounds.iter().map(|round| round.at(share)));
        let (alone, beside) = (of(&self.alone, 0.99), of(&self.beside, 0.99));
        tell(&format!("hub: method p50 beside {name}"), of(&self.beside, 0.5), "ms");
        tell(&format!("hub: method p99 beside {name}"), beside, "ms");
        tell("hub: and alone, in turns with it", alone, "ms");
        if !self.spinning.is_empty() {
            tell("hub: and beside processes that spin", of(&self.spinning, 0.99), "ms");
        }
        tell("hub: beside / alone", beside / alone, "times");
        self.tell_rates(name, kind, tell);
        beside / alone
    }

    fn tell_rates(&self, name: &str, kind: Option<usize>, tell: &mut impl FnMut(&str, f64, &str)) {
        let rates = ["connections", "packets", "ended by the hub"];
        for (which, what) in rates.into_iter().enumerate() {
            let rate = median(self.deeds.iter().map(|deeds| deeds.rates(kind)[which]));
            if rate > 0.0 {
                tell(&format!("     {name}: {what}"), rate, "/s");
            }
        }
    }
}

/// Attackers at work, and what the hub had open before them.
struct Assault {
    army: Army,
    began: Instant,
    files: usize,
    /// How many connections the hub had of them when they were in place.
    open: usize,
}

impl Assault {
    async fn begin(hub: &Arc<Place>, kinds: &[(usize, usize)], devices: usize) -> Self {
        let (began, files) = (Instant::now(), hub.process.files());
        let army = Army::send(&hub.target, kinds, devices).await;
        let open = hub.process.files().saturating_sub(files);
        Self { army, began, files, open }
    }

    /// Waits until the hub has ended all that stay; the others stop before. Gives the seconds since the beginning.
    async fn ended(&mut self, hub: &Place) -> f64 {
        self.army.stay().await;
        self.until_closed(hub).await;
        self.began.elapsed().as_secs_f64()
    }

    /// Ends the attack, and waits until the hub has noticed.
    async fn end(self, hub: &Place) {
        let files = self.files;
        self.army.end().await;
        until_closed(hub, files).await;
        sleep(Duration::from_millis(500)).await;
    }

    async fn until_closed(&self, hub: &Place) {
        until_closed(hub, self.files).await;
    }
}

async fn until_closed(hub: &Place, files: usize) {
    let until = Instant::now() + PATIENCE;
    // What a round's callers had open may be among them.
    while hub.process.files() > files + NEIGHBOURS {
        assert!(Instant::now() < until, "{} files are open at the hub, {files} were", hub.process.files());
        sleep(Duration::from_millis(100)).await;
    }
}

async fn neighbours(hub: &Arc<Place>, devices: usize) -> Latencies {
    let mut callers = JoinSet::new();
    for number in 0..NEIGHBOURS {
        let hub = Arc::clone(hub);
        callers.spawn(async move {
            let mut caller = hub.target.caller().await;
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
