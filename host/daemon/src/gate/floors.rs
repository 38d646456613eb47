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

use hotshoe_core::policy::Unsigned;
use hotshoe_core::policy::floor::{Rank, name_of};

use crate::flash::{Flash, Sealed, SignedImage};
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

    /// Checks what stands in a group that is to be armed. What was let in once is not let in for ever: the floor may have
    /// risen since, the policy may have changed, the repository may have withdrawn the target.
    pub(super) fn check_sealed(&self, sealed: &[Sealed], unsigned: Unsigned) -> Result<(), String> {
        for Sealed { slot, signed } in sealed {
            match signed {
                Some(image) => self.check(image.counted_as(), &image.rank())?,
                None if unsigned == Unsigned::Deny => {
                    return Err(format!(
                        "no signed target covers the image in slot {slot:?}, and firmware.unsigned is \"deny\" in the \
                         device's policy: stage a signed image, or let the operator set it to \"digest\""
                    ));
                }
                None => {}
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cap_std::ambient_authority;
    use cap_std::fs::Dir;
    use hotshoe_core::digest::{Algorithm, Digest};

    use super::*;
    use crate::artifact::hash::Hasher;
    use crate::flash::{Assurance, SlotConfig, boot};

    struct Device(tempfile::TempDir);

    impl Device {
        fn dir(&self, name: &str) -> Dir {
            std::fs::create_dir_all(self.0.path().join(name)).unwrap();
            Dir::open_ambient_dir(self.0.path().join(name), ambient_authority()).unwrap()
        }

        fn flash(&self) -> Flash {
            let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: 4096 };
            Flash::open(Arc::new(self.dir("flash")), vec![slot("a"), slot("b")]).unwrap()
        }

        fn floors(&self, downgrade: bool) -> Floors {
            Floors::open(downgrade, StateDir::new(self.dir("floors")), self.flash()).unwrap()
        }

        /// Seals a signed image of this version in a slot, and boots it on trial.
        fn try_image(&self, slot: &str, version: &str) {
            let (flash, bytes) = (self.flash(), version.as_bytes());
            let image = SignedImage {
                target: "images/gateway/fw.img".into(),
                name: None,
                version: Some(version.into()),
                sequence: None,
            };
            let mut staging = flash.stage(slot, &digest(bytes), "job", Assurance::Signed(image)).unwrap();
            staging.append(bytes).unwrap();
            staging.seal(version).unwrap();
            flash.activate(slot, "job").unwrap();
            boot::boot(Arc::new(self.dir("flash"))).unwrap();
        }
    }

    fn digest(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    fn version(text: &str) -> Rank {
        Rank { version: Some(text.into()), sequence: None }
    }

    #[test]
    fn a_trial_raises_nothing_and_a_confirmation_does_also_over_a_power_cut() {
        let device = Device(tempfile::tempdir().unwrap());
        device.try_image("b", "2.0.0");
        assert!(device.floors(false).check("images/gateway", &version("1.0.0")).is_ok(), "on trial");
        // The power goes between the boot record and the floor: nobody raised it.
        device.flash().confirm().unwrap();
        let floors = device.floors(false);
        let told = floors.check("images/gateway", &version("1.0.0")).unwrap_err();
        assert!(told.contains("1.0.0 is below 2.0.0"), "{told}");
        assert!(floors.check("images/gateway", &version("2.0.0")).is_ok());
        assert!(floors.check("images/other", &version("1.0.0")).is_ok(), "another name");
        assert!(device.floors(true).check("images/gateway", &version("1.0.0")).is_ok(), "set aside");
    }

    #[test]
    fn what_stands_in_a_slot_is_checked_again_before_it_is_armed() {
        let device = Device(tempfile::tempdir().unwrap());
        // Both were let in, one after the other, and the first one still stands whole in its slot.
        device.try_image("b", "1.0.0");
        device.flash().confirm().unwrap();
        device.try_image("a", "2.0.0");
        device.flash().confirm().unwrap();
        let check = |slot: &str, downgrade, unsigned| {
            device.floors(downgrade).check_sealed(&device.flash().sealed(slot).unwrap(), unsigned)
        };
        let told = check("b", false, Unsigned::Allow).unwrap_err();
        assert!(told.contains("1.0.0 is below 2.0.0"), "{told}");
        assert_eq!(check("a", false, Unsigned::Deny), Ok(()));
        assert_eq!(check("b", true, Unsigned::Deny), Ok(()), "set aside");
        // Nobody signed this one.
        let (flash, bytes) = (device.flash(), b"bytes");
        let mut staging = flash.stage("b", &digest(bytes), "job", Unsigned::Digest).unwrap();
        assert_eq!(check("b", false, Unsigned::Deny), Ok(()), "there is nothing yet that could be armed");
        staging.append(bytes).unwrap();
        staging.seal("1").unwrap();
        assert_eq!(check("b", false, Unsigned::Digest), Ok(()));
        let told = check("b", false, Unsigned::Deny).unwrap_err();
        assert!(told.contains("slot \"b\"") && told.contains("firmware.unsigned is \"deny\""), "{told}");
    }

    #[test]
    fn a_downgrade_that_was_let_in_does_not_lower_the_floor() {
        let device = Device(tempfile::tempdir().unwrap());
        device.try_image("b", "2.0.0");
        device.flash().confirm().unwrap();
        drop(device.floors(true));
        device.try_image("a", "1.0.0");
        device.flash().confirm().unwrap();
        assert!(device.floors(false).check("images/gateway", &version("1.5.0")).is_err());
    }
}
