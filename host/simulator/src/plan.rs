//! What is to happen in a life, and the seed that says so.
//!
//! A seed is text: the name of the world, then one word for each thing that goes wrong, each at the k-th operation of
//! its stretch (what lies between two cuts): `plain/57.torn.3/12.none.0` is the world `plain`, cut at its 57th operation
//! with sectors torn in the third way, then cut again at the 12th operation of the recovery, with nothing kept.

use std::{fmt, str::FromStr};

use crate::disk::Loss;

/// What may go wrong with one operation without the power going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error. A write may be there in part; what a sync was to write is lost, all of it or a part, and a
    /// sync that is repeated says that all is well.
    Io,
    /// A full disk, found out by a write, by making a file, or only by a sync.
    Full,
    /// A bit flips on the medium under the file that is synced.
    Rot,
    /// The k-th *read* fails.
    Read,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 4] = [Fault::Io, Fault::Full, Fault::Rot, Fault::Read];

    /// Whether another number gives another outcome.
    pub fn is_random(self) -> bool {
        self == Fault::Rot
    }

    fn word(self) -> &'static str {
        match self {
            Fault::Io => "eio",
            Fault::Full => "full",
            Fault::Rot => "rot",
            Fault::Read => "read",
        }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The power goes at this operation (or the process is killed).
    Cut {
        /// Which operation, from 1.
        at: u64,
        /// What is lost.
        loss: Loss,
        /// Which of the ways to lose it.
        way: u64,
    },
    /// This operation fails.
    Fault {
        /// Which operation, from 1; for reads, which read.
        at: u64,
        /// How.
        fault: Fault,
        /// Which of the ways to do so, where there are several.
        way: u64,
    },
}

impl Step {
    /// Whether another number gives another outcome.
    pub fn is_random(self) -> bool {
        match self {
            Step::Cut { loss, .. } => loss.is_random(),
            Step::Fault { fault, .. } => fault.is_random(),
        }
    }

    /// The same in another way.
    pub fn in_way(self, way: u64) -> Step {
        match self {
            Step::Cut { at, loss, .. } => Step::Cut { at, loss, way },
            Step::Fault { at, fault, .. } => Step::Fault { at, fault, way },
        }
    }

    /// The same so many operations later; `None` where that is before the first one.
    pub fn later(self, by: i64) -> Option<Step> {
        let place = |at: u64| at.checked_add_signed(by).filter(|at| *at > 0);
        Some(match self {
            Step::Cut { at, loss, way } => Step::Cut { at: place(at)?, loss, way },
            Step::Fault { at, fault, way } => Step::Fault { at: place(at)?, fault, way },
        })
    }
}

/// A life: a world and what goes wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The name of the world.
    pub world: String,
    /// What goes wrong, in this order.
    pub steps: Vec<Step>,
}

impl Seed {
    /// A life in which nothing goes wrong.
    pub fn of(world: &str) -> Seed {
        Seed { world: world.to_owned(), steps: Vec::new() }
    }

    /// The same life, and then this.
    pub fn then(&self, step: Step) -> Seed {
        let mut longer = self.clone();
        longer.steps.push(step);
        longer
    }

    /// How often the power goes.
    pub fn cuts(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Cut { .. })).count()
    }

    /// How many operations fail.
    pub fn faults(&self) -> usize {
        self.steps.len() - self.cuts()
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.world)?;
        for step in &self.steps {
            match step {
                Step::Cut { at, loss, way } => write!(out, "/{at}.{}.{way}", loss.word())?,
                Step::Fault { at, fault, way: 0 } => write!(out, "/{at}.{}", fault.word())?,
                Step::Fault { at, fault, way } => write!(out, "/{at}.{}.{way}", fault.word())?,
            }
        }
        Ok(())
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Seed, String> {
        let mut words = text.trim().split('/');
        let mut seed = Seed::of(words.next().unwrap_or_default());
        for word in words {
            seed.steps.push(step(word).ok_or_else(|| {
                format!("{word:?} in the seed {text:?} is not like 57.torn.3 (a cut) or 57.eio (a fault)")
            })?);
        }
        Ok(seed)
    }
}

fn step(word: &str) -> Option<Step> {
    let mut parts = word.split('.');
    let at = parts.next()?.parse().ok()?;
    let kind = parts.next()?;
    let step = match Loss::ALL.into_iter().find(|loss| loss.word() == kind) {
        Some(loss) => Step::Cut { at, loss, way: parts.next()?.parse().ok()? },
        None => {
            let fault = Fault::ALL.into_iter().find(|fault| fault.word() == kind)?;
            let way =
                if fault.is_random() { parts.next().map_or(Some(0), |way| way.parse().ok())? } else { 0 };
            Step::Fault { at, fault, way }
        }
    };
    parts.next().is_none().then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_comes_back_as_it_went() {
        for text in ["plain", "plain/57.torn.3/12.none.0", "two/9.eio/3.read/70.kill.0", "two/9.rot/8.rot.7"]
        {
            assert_eq!(text.parse::<Seed>().unwrap().to_string(), text);
        }
        for text in ["plain/x", "plain/1.torn", "plain/1.eio.3", "plain/1.what.0", "plain/"] {
            assert!(text.parse::<Seed>().is_err(), "{text}");
        }
    }
}
