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
    /// Which lives, of all those that chance makes different: another number, other lives.
    pub seed: u64,
}

/// From how many ways a seed chooses where to begin.
const WAYS: u64 = 1_000_000;
/// In one of how many recoveries an operation fails as well.
const FAULTY: u64 = 4;
/// How many operations after a fault are soon.
const SOON: usize = 12;

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

impl Root {
    fn is_random(self) -> bool {
        match self {
            Root::Cut { loss, .. } => loss.is_random(),
            Root::Fault { fault, .. } => fault.is_random(),
        }
    }
}

struct Explorer<'a> {
    world: Arc<World>,
    begin: State,
    moments: Vec<Moment>,
    roots: Vec<Root>,
    effort: Effort,
    /// The way of the first round.
    first: u64,
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
    let mut number = 0;
    while !explorer.full.load(Relaxed) && explorer.cuts.load(Relaxed) < effort.cuts {
        explorer.round(number);
        number += 1;
    }
    explorer.report(start.elapsed())
}

/// Looks for one life that goes wrong, in all these worlds in turn, as many lives in all; how many it took.
pub fn hunt(worlds: &[Arc<World>], lives: u64, threads: usize) -> (Option<Violation>, u64) {
    watch_for_panics();
    let effort = Effort { cuts: u64::MAX, threads, second: 2, enough: 1, seed: 0 };
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
            first: if effort.seed == 0 { 0 } else { Random::new(effort.seed).below(WAYS) },
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

    fn round(&self, number: u64) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.effort.threads {
                scope.spawn(|| {
                    while !self.full.load(Relaxed)
                        && (number == 0 || self.cuts.load(Relaxed) < self.effort.cuts)
                        && let Some(root) = self.roots.get(next.fetch_add(1, Relaxed))
                    {
                        self.root(*root, number);
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
    fn goes_on(&self, round: u64, random: &mut Random) -> bool {
        let first = self.moments.len() as u64 * Loss::ALL.len() as u64;
        let deeper = self.effort.cuts.saturating_sub(first);
        round > 0 || random.below(self.roots.len() as u64 * 6) < deeper
    }

    fn root(&self, root: Root, round: u64) {
        let seed = Seed::of(self.world.name);
        let way = self.first.saturating_add(round);
        let mut random = Random::of(&format!("{root:?} {way}"));
        let depth = if self.goes_on(round, &mut random) { 2 } else { 0 };
        // The same again is no other life; what is cut in its recovery is.
        let step = |step: Step| if step.is_random() { step } else { step.in_way(0) };
        let new = round == 0 || root.is_random();
        match root {
            Root::Cut { moment, loss } => {
                let Some(moment) = self.moments.get(moment) else { return };
                let seed = seed.then(step(Step::Cut { at: moment.at, loss, way }));
                self.go(cut(moment, &seed), &seed, depth, new, &mut random);
            }
            Root::Fault { at, fault } => {
                let seed = seed.then(step(Step::Fault { at, fault, way }));
                self.go(self.begin.clone(), &seed, depth, new, &mut random);
            }
        }
    }

    /// Lives on, and cuts what is lived then, so many times one in the other.
    fn go(&self, state: State, seed: &Seed, depth: u32, new: bool, random: &mut Random) {
        let begin = (depth > 0).then(|| state.clone());
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
        let faulty = matches!(seed.steps.last(), Some(Step::Fault { .. }));
        if depth == 0 || faulty && outcome.lived.fired == 0 {
            return;
        }
        if let Some(begin) = begin.filter(|_| !faulty && random.one_in(FAULTY)) {
            let fault =
                Fault::ALL.get(random.below(Fault::ALL.len() as u64) as usize).copied().unwrap_or(Fault::Io);
            let last = if fault == Fault::Read { outcome.lived.reads } else { outcome.lived.ops };
            let at = random.below(last) + 1;
            let way = if fault.is_random() { random.below(1000) } else { 0 };
            self.go(begin, &seed.then(Step::Fault { at, fault, way }), depth - 1, true, random);
        }
        let times = if depth > 1 { self.effort.second } else { 1 };
        for _ in 0..times {
            let Some(moment) = next(&outcome.lived.moments, seed, random) else { return };
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

/// Where to cut what was lived: anywhere, and after a fault often soon, when what it has broken is put right.
fn next<'a>(moments: &'a [Moment], seed: &Seed, random: &mut Random) -> Option<&'a Moment> {
    let moments = match seed.steps.last() {
        Some(Step::Fault { at, fault, .. }) if *fault != Fault::Read => {
            let after = moments.partition_point(|moment| moment.at <= *at);
            let moments = moments.get(after..).unwrap_or_default();
            let soon = if random.one_in(2) { moments.len().min(SOON) } else { moments.len() };
            moments.get(..soon).unwrap_or_default()
        }
        _ => moments,
    };
    moments.get(random.below(moments.len() as u64) as usize)
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
