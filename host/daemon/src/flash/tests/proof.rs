//! What was sealed is read again before it counts.

use super::*;

impl Device {
    /// Flips a bit of what is in a slot.
    fn damage(&self, slot: &str) {
        let mut bytes = self.slot(slot);
        bytes[50_000] ^= 1;
        std::fs::write(self.0.path().join(format!("slot-{slot}.img")), bytes).unwrap();
    }
}

#[test]
fn what_a_trial_left_damaged_is_not_armed_again_and_is_mended_by_staging_it_again() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.flash().prove("b", "job").unwrap();
    device.flash().activate("b", "job").unwrap();
    assert!(device.boot().1.trial);
    // It wrote to its own slot, and the power went.
    device.damage("b");
    let (flash, booted) = device.boot();
    assert_eq!(booted, Booted { slot: Some("a".into()), trial: false });
    let damaged = flash.prove("b", "job");
    assert!(matches!(damaged, Err(FlashError::DigestMismatch { .. })), "{damaged:?}");
    assert_eq!(info(&flash, "b").content, Content::Empty);
    assert!(matches!(flash.prove("b", "job"), Err(FlashError::NotSealed(_))));
    assert!(matches!(flash.activate("b", "job"), Err(FlashError::NotSealed(_))));
    sealed(&flash, "b", 1);
    flash.prove("b", "job").unwrap();
    flash.activate("b", "job").unwrap();
    assert!(device.boot().1.trial);
}

#[test]
fn ordering_a_damaged_image_again_mends_it() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.damage("b");
    let flash = device.flash();
    let (bytes, digest) = image(1, 100_000);
    let mut staging = stage(&flash, "b", &digest, "another job").unwrap();
    assert_eq!(staging.written(), bytes.len() as u64, "it is taken for whole");
    assert!(matches!(staging.seal("1.0.0"), Err(FlashError::DigestMismatch { .. })));
    staging.append(&bytes).unwrap();
    staging.seal("1.0.0").unwrap();
    assert!(device.slot("b").starts_with(&bytes));
}

#[test]
fn what_may_boot_as_it_is_keeps_its_seal_whatever_is_in_it() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.flash().activate("b", "job").unwrap();
    device.damage("b");
    let sealed_still = |flash: &Flash| info(flash, "b").content == Content::Sealed;
    // Armed.
    let flash = device.flash();
    let (_, digest) = image(1, 100_000);
    stage(&flash, "b", &digest, "job").unwrap().seal("1.0.0").unwrap();
    flash.prove("b", "job").unwrap();
    assert!(sealed_still(&flash) && flash.armed("job").unwrap().is_some());
    // On trial, and confirmed.
    let (flash, booted) = device.boot();
    assert!(booted.trial && matches!(flash.prove("b", "job"), Err(FlashError::Busy(_))));
    flash.confirm().unwrap();
    assert!(matches!(flash.prove("b", "job"), Err(FlashError::Busy(_))) && sealed_still(&flash));
    // What is fallen back to while the other slot has its trial.
    sealed(&flash, "a", 2);
    flash.activate("a", "job").unwrap();
    let (flash, booted) = device.boot();
    assert_eq!(booted, Booted { slot: Some("a".into()), trial: true });
    stage(&flash, "b", &digest, "job").unwrap().seal("1.0.0").unwrap();
    assert!(sealed_still(&flash));
}

#[test]
fn a_slot_that_was_armed_while_it_was_read_keeps_its_seal() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.damage("b");
    let flash = device.flash();
    let (_, digest) = image(1, 100_000);
    let mut staging = stage(&flash, "b", &digest, "job").unwrap();
    // The reading ends after this, and would take the seal away.
    flash.activate("b", "job").unwrap();
    assert!(staging.forget(&hotshoe_core::image::Runs::new()).is_err());
    assert_eq!(info(&flash, "b").content, Content::Sealed);
}
