//! Which lives are lived: each operation of a world cut in each way, each made to fail, and cuts in the recoveries.
//!
//! In an order by chance, so that a run that ends early has seen something of all; the first round is always lived to its
//! end, later ones live what chance makes different.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    disk::Loss,
    life::{Keep, cut, stretch},
    machine::Moment,
    plan::{Fault, Seed, Step},
    random::Random,
    world::{State, World, watch_for_panics},
};

/// How much is to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Cuts to be made in this world, at least.
    pub cuts: u64,
    /// Threads that live.
    pub threads: usize,
    /// Cuts that are made in a recovery, where there are cuts enough for that.
    pub second: u32,
    /// End at so many violations.
    pub enough: usize,
}

/// Who is told how many cuts were made, from any thread.
pub type Told<'a> = &'a (dyn Fn(u64) + Sync);

/// A life that went wrong.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which life.
    pub seed: Seed,
    /// What was wrong.
    pub words: String,
}

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// The world.
    pub world: &'static str,
    /// Operations of the life in which nothing goes wrong: each was cut in each way.
    pub operations: u64,
    /// Stretches of lives that were lived.
    pub lives: u64,
    /// Cuts that were made, each followed by a recovery.
    pub cuts: u64,
    /// Those of them that cut a recovery.
    pub second: u64,
    /// Operations that were made to fail.
    pub faults: u64,
    /// The most boots in one life.
    pub boots: u64,
    /// What went wrong, a few of it.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub time: Duration,
}

/// Where a life leaves the one in which nothing goes wrong.
#[derive(Clone, Copy, Debug)]
enum Root {
    Cut { moment: usize, loss: Loss },
    Fault { at: u64, fault: Fault },
}

struct Explorer<'a> {
    world: Arc<World>,
    begin: State,
    moments: Vec<Moment>,
    roots: Vec<Root>,
    effort: Effort,
    told: Told<'a>,
    lives: AtomicU64,
    cuts: AtomicU64,
    deeper: AtomicU64,
    faults: AtomicU64,
    boots: AtomicU64,
    full: AtomicBool,
    violations: Mutex<Vec<Violation>>,
}

/// Lives in a world until there were enough cuts.
pub fn explore(world: &Arc<World>, effort: Effort, told: Told<'_>) -> Report {
    watch_for_panics();
    let start = Instant::now();
    let explorer = Explorer::new(world, effort, told);
    let mut way = 0;
    while !explorer.full.load(Relaxed) && explorer.cuts.load(Relaxed) < effort.cuts {
        explorer.round(way);
        way += 1;
    }
    explorer.report(start.elapsed())
}

/// Looks for one life that goes wrong, in all these worlds in turn, as many lives in all; how many it took.
pub fn hunt(worlds: &[Arc<World>], lives: u64, threads: usize) -> (Option<Violation>, u64) {
    watch_for_panics();
    let effort = Effort { cuts: u64::MAX, threads, second: 2, enough: 1 };
    let explorers: Vec<_> = worlds.iter().map(|world| Explorer::new(world, effort, &|_| ())).collect();
    let next = AtomicU64::new(0);
    let lived = || explorers.iter().map(|explorer| explorer.lives.load(Relaxed)).sum::<u64>();
    let found = || explorers.iter().any(|explorer| explorer.full.load(Relaxed));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !found() && lived() < lives {
                    let number = next.fetch_add(1, Relaxed);
                    let count = explorers.len().max(1) as u64;
                    if let Some(explorer) = explorers.get((number % count) as usize) {
                        explorer.sample(number / count);
                    }
                }
            });
        }
    });
    let lived = lived();
    let found = explorers.into_iter().flat_map(|explorer| explorer.report(Duration::ZERO).violations);
    (found.min_by_key(|violation| violation.seed.steps.len()), lived)
}

impl<'a> Explorer<'a> {
    /// Lives the life in which nothing goes wrong.
    fn new(world: &Arc<World>, effort: Effort, told: Told<'a>) -> Explorer<'a> {
        let begin = world.begin();
        let seed = Seed::of(world.name);
        let whole = stretch(begin.clone(), &seed, Keep::Moments);
        let (boots, reads) = (whole.lived.state.boots, whole.lived.reads);
        let explorer = Explorer {
            roots: roots(world.name, whole.lived.moments.len(), reads),
            world: Arc::clone(world),
            begin,
            moments: whole.lived.moments,
            effort,
            told,
            lives: AtomicU64::new(1),
            cuts: AtomicU64::new(0),
            deeper: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            boots: AtomicU64::new(u64::from(boots)),
            full: AtomicBool::new(false),
            violations: Mutex::default(),
        };
        explorer.wrong(&seed, whole.violations);
        explorer
    }

    fn report(self, time: Duration) -> Report {
        Report {
            world: self.world.name,
            operations: self.moments.len() as u64,
            lives: self.lives.into_inner(),
            cuts: self.cuts.into_inner(),
            second: self.deeper.into_inner(),
            faults: self.faults.into_inner(),
            boots: self.boots.into_inner(),
            violations: self.violations.into_inner().unwrap_or_else(PoisonError::into_inner),
            time,
        }
    }

    fn round(&self, way: u64) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.effort.threads {
                scope.spawn(|| {
                    while !self.full.load(Relaxed)
                        && (way == 0 || self.cuts.load(Relaxed) < self.effort.cuts)
                        && let Some(root) = self.roots.get(next.fetch_add(1, Relaxed))
                    {
                        self.root(*root, way);
                    }
                });
            }
        });
    }

    /// One of all that could be lived.
    fn sample(&self, number: u64) {
        let count = self.roots.len().max(1) as u64;
        if let Some(root) = self.roots.get((number % count) as usize) {
            self.root(*root, number / count);
        }
    }

    /// Whether this many cuts leave some for recoveries, this time. Each root that is gone on with costs six more.
    fn goes_on(&self, way: u64, random: &mut Random) -> bool {
        let first = self.moments.len() as u64 * Loss::ALL.len() as u64;
        let deeper = self.effort.cuts.saturating_sub(first);
        way > 0 || random.below(self.roots.len() as u64 * 6) < deeper
    }

    fn root(&self, root: Root, way: u64) {
        let seed = Seed::of(self.world.name);
        let mut random = Random::of(&format!("{root:?} {way}"));
        let depth = if self.goes_on(way, &mut random) { 2 } else { 0 };
        match root {
            Root::Cut { moment, loss } => {
                let Some(moment) = self.moments.get(moment) else { return };
                // The same cut again is no other cut; what is cut in its recovery is.
                let seed =
                    seed.then(Step::Cut { at: moment.at, loss, way: if loss.is_random() { way } else { 0 } });
                let new = way == 0 || loss.is_random();
                self.go(cut(moment, &seed), &seed, depth, new, &mut random);
            }
            Root::Fault { at, fault } => {
                let seed = seed.then(Step::Fault { at, fault });
                self.go(self.begin.clone(), &seed, depth, way == 0, &mut random);
            }
        }
    }

    /// Lives on, and cuts what is lived then, so many times one in the other.
    fn go(&self, state: State, seed: &Seed, depth: u32, new: bool, random: &mut Random) {
        let outcome = stretch(state, seed, if depth > 0 { Keep::Moments } else { Keep::Nothing });
        if new {
            self.lives.fetch_add(1, Relaxed);
            match seed.steps.last() {
                Some(Step::Cut { .. }) => {
                    self.cuts.fetch_add(1, Relaxed);
                    (self.told)(1);
                    self.deeper.fetch_add(u64::from(seed.cuts() > 1), Relaxed);
                }
                _ => {
                    self.faults.fetch_add(u64::from(outcome.lived.fired), Relaxed);
                }
            }
            self.boots.fetch_max(u64::from(outcome.lived.state.boots), Relaxed);
            self.wrong(seed, outcome.violations);
        }
        if depth == 0 || matches!(seed.steps.last(), Some(Step::Fault { .. })) && outcome.lived.fired == 0 {
            return;
        }
        let times = if depth > 1 { self.effort.second } else { 1 };
        for _ in 0..times {
            let moments = &outcome.lived.moments;
            let Some(moment) = moments.get(random.below(moments.len() as u64) as usize) else { return };
            let loss =
                Loss::ALL.get(random.below(Loss::ALL.len() as u64) as usize).copied().unwrap_or(Loss::Some);
            let way = if loss.is_random() { random.below(1000) } else { 0 };
            let deeper = seed.then(Step::Cut { at: moment.at, loss, way });
            self.go(cut(moment, &deeper), &deeper, depth - 1, true, random);
        }
    }

    fn wrong(&self, seed: &Seed, words: Vec<String>) {
        if words.is_empty() {
            return;
        }
        let mut violations = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
        violations.extend(words.into_iter().map(|words| Violation { seed: seed.clone(), words }));
        if violations.len() >= self.effort.enough {
            self.full.store(true, Relaxed);
        }
    }
}

/// Each operation in each way, each operation and read made to fail; in an order of the world's own.
fn roots(name: &str, moments: usize, reads: u64) -> Vec<Root> {
    let mut roots: Vec<Root> =
        (0..moments).flat_map(|moment| Loss::ALL.map(|loss| Root::Cut { moment, loss })).collect();
    for fault in Fault::ALL {
        let last = if fault == Fault::Read { reads } else { moments as u64 };
        roots.extend((1..=last).map(|at| Root::Fault { at, fault }));
    }
    let mut random = Random::of(name);
    for number in (1..roots.len()).rev() {
        roots.swap(number, random.below(number as u64 + 1) as usize);
    }
    roots
}
