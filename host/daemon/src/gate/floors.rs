//! Floors on the disk, and when they rise.
//!
//! Order: the boot loader's record says *confirmed* first, then the floor rises. The other way round a power cut between
//! the two would keep out the very image that is good and runs, for one that never proved itself. In this order a cut
//! leaves a floor that is too low, and nothing is lost: the slot's record says what runs and is good, so the next start
//! makes up for it before anything can be staged.
//!
//! A disk that refuses to keep a floor does not undo a confirmation. The floor holds while the process lives, and is
//! made up for in the same way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hotshoe_core::policy::floor::{Rank, name_of};

use crate::flash::{Flash, SignedImage};
use crate::state::{StateDir, StateError};

/// The file of all floors.
const FILE: &str = "images";
/// The most names that are remembered; more are not confirmed on one device.
const NAMES: usize = 1024;

type Ranks = BTreeMap<String, Rank>;

pub(super) struct Floors {
    /// Whether the operator has set them aside.
    downgrade: bool,
    state: StateDir,
    flash: Flash,
    ranks: Mutex<Ranks>,
}

impl Floors {
    pub(super) fn open(downgrade: bool, state: StateDir, flash: Flash) -> Result<Floors, StateError> {
        let ranks = state.read::<Ranks>(FILE)?.unwrap_or_default();
        let floors = Floors { downgrade, state, flash, ranks: Mutex::new(ranks) };
        floors.confirmed();
        Ok(floors)
    }

    pub(super) fn check(&self, name: &str, image: &Rank) -> Result<(), String> {
        if self.downgrade {
            return Ok(());
        }
        let floor = self.ranks().get(name).cloned().unwrap_or_default();
        floor.check(name, image).map_err(|error| error.to_string())
    }

    /// Raises the floors to what runs and is good.
    pub(super) fn confirmed(&self) {
        let images = match self.flash.confirmed() {
            Ok(images) => images,
            Err(error) => {
                tracing::error!(%error, "what is confirmed is not known; the minimum versions stay as they are");
                return;
            }
        };
        let mut ranks = self.ranks();
        let mut raised = ranks.clone();
        for image in &images {
            let (name, rank) = (image.counted_as(), image.rank());
            let floor = raised.get(name).cloned().unwrap_or_default().raised_by(&rank);
            if floor.counts() && (raised.contains_key(name) || raised.len() < NAMES) {
                raised.insert(name.to_owned(), floor);
            }
        }
        if raised == *ranks {
            return;
        }
        if let Err(error) = self.state.write(FILE, &raised) {
            tracing::error!(%error, "the minimum versions were not stored; the next start makes up for it");
        }
        *ranks = raised;
    }

    fn ranks(&self) -> MutexGuard<'_, Ranks> {
        self.ranks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignedImage {
    /// The name that it is counted under: the signed one, else the directory of its target.
    pub fn counted_as(&self) -> &str {
        name_of(self.name.as_deref(), &self.target)
    }

    /// Its place among those of its name.
    pub fn rank(&self) -> Rank {
        Rank { version: self.version.clone(), sequence: self.sequence }
    }
}
