//! The machine under the device's code: its disk, its power, and the count of operations at which either may fail.
//!
//! Everything that may be cut is an *operation*: each call that changes the disk, each sync, and each thing that is told
//! to the outside. At each one the state of the whole world can be copied, which is what a cut there leaves once it
//! was decided what the disk lost: what the code would have done afterwards it does in a world that is no more. So a
//! world is lived through once, and its cuts need only their recoveries.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    disk::{Change, FileId, FolderId, Tree},
    plan::{Fault, Step},
    random::Random,
    world::State,
};

/// What kind of operation it is, as far as faults go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is written, made, renamed, or given another length.
    Change,
    /// Something is removed.
    Remove,
    /// Something is made durable: a file, or the names in a folder.
    Sync(Option<FileId>),
    /// The outside is told something. It may be cut, and does not fail.
    Tell,
}

/// The state of the world at an operation that may be cut there.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Which operation, from 1.
    pub at: u64,
    /// How things stood.
    pub state: State,
}

/// One stretch of a life: from a beginning or a cut to the next one, or to the end.
#[derive(Default, Debug)]
pub struct Stretch {
    ops: u64,
    reads: u64,
    plan: Vec<Step>,
    fired: u32,
    record: Option<Vec<Moment>>,
    log: Option<Vec<String>>,
    violations: Vec<String>,
    /// Every sync says that it has been done, and none is.
    lying: bool,
}

#[derive(Debug)]
struct Inner {
    state: State,
    stretch: Stretch,
}

/// The machine. Cheap to clone.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<Inner>>);

impl fmt::Debug for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Machine")
    }
}

/// What a stretch came to.
#[derive(Debug)]
pub struct Lived {
    /// How things stand.
    pub state: State,
    /// The moments, where they were recorded.
    pub moments: Vec<Moment>,
    /// The log, where it was kept.
    pub log: Vec<String>,
    /// What was wrong.
    pub violations: Vec<String>,
    /// How many operations there were.
    pub ops: u64,
    /// How many reads there were.
    pub reads: u64,
    /// How many faults were reached.
    pub fired: u32,
}

impl Machine {
    /// A machine that stands so, for which this is planned.
    pub fn new(state: State, plan: Vec<Step>) -> Machine {
        Machine(Arc::new(Mutex::new(Inner { state, stretch: Stretch { plan, ..Stretch::default() } })))
    }

    /// Keeps the moments of this stretch.
    pub fn recording(self) -> Machine {
        self.lock().stretch.record = Some(Vec::new());
        self
    }

    /// Keeps the log of this stretch.
    pub fn logging(self) -> Machine {
        self.lock().stretch.log = Some(Vec::new());
        self
    }

    /// Has syncs lie.
    pub fn lying(self) -> Machine {
        self.lock().stretch.lying = true;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes the state, without it being an operation.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock().state)
    }

    /// How often something has happened.
    pub fn ops(&self) -> u64 {
        let inner = self.lock();
        inner.stretch.ops + inner.stretch.reads
    }

    /// Writes down that something is wrong.
    pub fn violate(&self, words: impl Into<String>) {
        self.lock().stretch.violations.push(words.into());
    }

    /// Adds a line to the log.
    pub fn note(&self, words: impl FnOnce() -> String) {
        if let Some(log) = &mut self.lock().stretch.log {
            log.push(format!("      {}", words()));
        }
    }

    /// The end of the stretch.
    pub fn ended(&self) -> Lived {
        let mut inner = self.lock();
        let stretch = std::mem::take(&mut inner.stretch);
        Lived {
            state: inner.state.clone(),
            moments: stretch.record.unwrap_or_default(),
            log: stretch.log.unwrap_or_default(),
            violations: stretch.violations,
            ops: stretch.ops,
            reads: stretch.reads,
            fired: stretch.fired,
        }
    }

    /// Performs an operation on the disk. `lose` is what a failing sync does instead, or half of a failing write.
    pub fn operate<T>(
        &self,
        kind: Kind,
        words: impl FnOnce() -> String,
        lose: impl FnOnce(&mut Tree, &mut Random),
        perform: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.lock();
        let Inner { state, stretch } = &mut *inner;
        stretch.ops += 1;
        let at = stretch.ops;
        let step = stretch.planned(at, false);
        if let Some(log) = &mut stretch.log {
            log.push(format!(
                "{at:5} {}{}",
                words(),
                step.map_or(String::new(), |step| format!("   <== {step:?}"))
            ));
        }
        match step {
            Some(Step::Fault { fault, .. }) if let Some(error) = fault.error(kind) => {
                stretch.fired += 1;
                lose(&mut state.disk, &mut state.random);
                Err(error)
            }
            step => {
                let Kind::Sync(file) = kind else {
                    let done = perform(&mut state.disk);
                    stretch.remember(at, state);
                    return done;
                };
                // Cut in the middle of a sync, nothing that it was asked for need be there.
                stretch.remember(at, state);
                if stretch.lying {
                    return perform(&mut state.disk.clone());
                }
                let fresh = file.filter(|file| !state.disk.file(*file).is_settled());
                let done = perform(&mut state.disk);
                if let (Some(Step::Fault { fault: Fault::Rot, way, .. }), Some(file)) = (step, fresh) {
                    stretch.fired += 1;
                    let mut chance = Random::of(&format!("{} {way}", state.random.bits()));
                    state.disk.file_mut(file).rot(&mut chance);
                }
                done
            }
        }
    }

    /// Tells the outside something.
    pub fn tell(&self, words: impl FnOnce() -> String, hear: impl FnOnce(&mut State) -> Vec<String>) {
        let mut inner = self.lock();
        let Inner { state, stretch } = &mut *inner;
        stretch.ops += 1;
        let at = stretch.ops;
        if let Some(log) = &mut stretch.log {
            log.push(format!("{at:5} tell {}", words()));
        }
        stretch.violations.extend(hear(state));
        stretch.remember(at, state);
    }

    /// Reads something from the disk.
    pub fn read<T>(
        &self,
        words: impl FnOnce() -> String,
        perform: impl FnOnce(&Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.lock();
        let Inner { state, stretch } = &mut *inner;
        stretch.reads += 1;
        let step = stretch.planned(stretch.reads, true);
        if let Some(log) = &mut stretch.log
            && step.is_some()
        {
            log.push(format!("      {}   <== {step:?}", words()));
        }
        if step.is_some() {
            stretch.fired += 1;
            return Err(io::Error::other("input/output error (simulated)"));
        }
        perform(&state.disk)
    }

    /// Changes what is cached, which is no operation: nothing that is durable changes.
    pub fn hint(&self, change: impl FnOnce(&mut Tree)) {
        change(&mut self.lock().state.disk);
    }
}

impl Stretch {
    fn planned(&self, at: u64, reading: bool) -> Option<Step> {
        self.plan.iter().copied().find(|step| match step {
            // A cut is taken from the moments that were recorded.
            Step::Cut { .. } => false,
            Step::Fault { at: wanted, fault, .. } => (*fault == Fault::Read) == reading && *wanted == at,
        })
    }

    fn remember(&mut self, at: u64, state: &State) {
        if let Some(record) = &mut self.record {
            record.push(Moment { at, state: state.clone() });
        }
    }
}

impl Fault {
    /// The error that it means for this kind of operation, if it means one.
    fn error(self, kind: Kind) -> Option<io::Error> {
        match (self, kind) {
            (_, Kind::Tell) | (Fault::Rot | Fault::Read, _) | (Fault::Full, Kind::Remove) => None,
            (Fault::Io, _) => Some(io::Error::other("input/output error (simulated)")),
            (Fault::Full, _) => {
                Some(io::Error::new(io::ErrorKind::StorageFull, "no space left on device (simulated)"))
            }
        }
    }
}

/// A folder of the simulated disk.
#[derive(Clone, Debug)]
pub struct SimulatedFolder {
    pub(crate) machine: Machine,
    pub(crate) id: FolderId,
    pub(crate) path: Arc<str>,
}

/// An open file of the simulated disk.
#[derive(Debug)]
pub struct SimulatedVolume {
    pub(crate) machine: Machine,
    pub(crate) id: FileId,
    pub(crate) path: Arc<str>,
    pub(crate) direct: bool,
}

impl Machine {
    /// The root of the disk.
    pub fn root(&self) -> Arc<SimulatedFolder> {
        Arc::new(SimulatedFolder { machine: self.clone(), id: 0, path: "".into() })
    }
}

impl SimulatedVolume {
    pub(crate) fn change(&self, words: impl FnOnce() -> String, change: Change) -> io::Result<()> {
        let id = self.id;
        let half = change.clone();
        self.machine.operate(
            Kind::Change,
            words,
            move |disk, random| {
                if let Change::Write(offset, bytes) = half {
                    let part = bytes.get(..random.below(bytes.len() as u64 + 1) as usize).unwrap_or_default();
                    disk.change(id, Change::Write(offset, part.into()));
                }
            },
            move |disk| {
                disk.change(id, change);
                Ok(())
            },
        )
    }
}
