//! Which lives are lived: each operation of a world cut in each way, each made to fail, and cuts in the recoveries.

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
    /// Cuts that are made in a recovery.
    pub second: u32,
    /// End at so many violations.
    pub enough: usize,
}

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
    Cut { moment: usize, loss: Loss, way: u64 },
    Fault { at: u64, fault: Fault },
}

struct Explorer {
    world: Arc<World>,
    begin: State,
    moments: Vec<Moment>,
    effort: Effort,
    lives: AtomicU64,
    cuts: AtomicU64,
    deeper: AtomicU64,
    faults: AtomicU64,
    boots: AtomicU64,
    full: AtomicBool,
    violations: Mutex<Vec<Violation>>,
}

/// Lives in a world until there were enough cuts.
pub fn explore(world: &Arc<World>, effort: Effort) -> Report {
    watch_for_panics();
    let start = Instant::now();
    let begin = world.begin();
    let seed = Seed::of(world.name);
    let whole = stretch(begin.clone(), &seed, Keep::Moments);
    let (operations, reads) = (whole.lived.ops, whole.lived.reads);
    let explorer = Explorer {
        world: Arc::clone(world),
        begin,
        moments: whole.lived.moments,
        effort,
        lives: AtomicU64::new(1),
        cuts: AtomicU64::new(0),
        deeper: AtomicU64::new(0),
        faults: AtomicU64::new(0),
        boots: AtomicU64::new(u64::from(whole.lived.state.boots)),
        full: AtomicBool::new(false),
        violations: Mutex::default(),
    };
    explorer.wrong(&seed, whole.violations);
    let mut way = 0;
    while !explorer.full.load(Relaxed) && explorer.cuts.load(Relaxed) < effort.cuts {
        explorer.round(&explorer.roots(way, reads), way);
        way += 1;
    }
    Report {
        world: explorer.world.name,
        operations,
        lives: explorer.lives.into_inner(),
        cuts: explorer.cuts.into_inner(),
        second: explorer.deeper.into_inner(),
        faults: explorer.faults.into_inner(),
        boots: explorer.boots.into_inner(),
        violations: explorer.violations.into_inner().unwrap_or_else(PoisonError::into_inner),
        time: start.elapsed(),
    }
}

impl Explorer {
    /// All operations in all ways, the first time; later only those that chance makes different.
    fn roots(&self, way: u64, reads: u64) -> Vec<Root> {
        let mut roots = Vec::new();
        for moment in 0..self.moments.len() {
            roots.extend(Loss::ALL.into_iter().map(|loss| Root::Cut { moment, loss, way }));
        }
        for fault in Fault::ALL {
            let last = if fault == Fault::Read { reads } else { self.moments.len() as u64 };
            roots.extend((1..=last).map(|at| Root::Fault { at, fault }));
        }
        roots
    }

    fn round(&self, roots: &[Root], way: u64) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.effort.threads {
                scope.spawn(|| {
                    while !self.full.load(Relaxed)
                        && (way == 0 || self.cuts.load(Relaxed) < self.effort.cuts)
                        && let Some(root) = roots.get(next.fetch_add(1, Relaxed))
                    {
                        self.root(*root, way);
                    }
                });
            }
        });
    }

    fn root(&self, root: Root, way: u64) {
        let seed = Seed::of(self.world.name);
        let mut random = Random::of(&format!("{root:?} {way}"));
        match root {
            Root::Cut { moment, loss, way: this } => {
                let Some(moment) = self.moments.get(moment) else { return };
                // The same cut again is no other cut; what is cut in its recovery is.
                let seed = seed.then(Step::Cut {
                    at: moment.at,
                    loss,
                    way: if loss.is_random() { this } else { 0 },
                });
                let new = way == 0 || loss.is_random();
                self.go(cut(moment, &seed), &seed, 2, new, &mut random);
            }
            Root::Fault { at, fault } => {
                let seed = seed.then(Step::Fault { at, fault });
                self.go(self.begin.clone(), &seed, 2, way == 0, &mut random);
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
