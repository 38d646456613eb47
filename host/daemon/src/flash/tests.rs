use std::sync::Arc;

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{digest::Algorithm, slot::decode};

use super::{boot::Booted, *};
use crate::{
    artifact::{Artifact, ArtifactStore, Key, Origin, Vouched, hash::Hasher},
    fetch::Progress,
};

mod groups;
mod proof;
mod trees;

const SIZE: u64 = 4 * 1024 * 1024;
const QUIET: &Progress = &|_, _| {};

/// A device's disk: a folder that outlives the processes on it.
struct Device(tempfile::TempDir);

impl Device {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> Dir {
        Dir::open_ambient_dir(self.0.path(), ambient_authority()).unwrap()
    }

    /// A new process.
    fn flash(&self) -> Flash {
        let slot =
            |name: &str| SlotConfig { name: name.into(), file: format!("slot-{name}.img"), size: SIZE };
        Flash::open(Arc::new(self.dir()), vec![slot("a"), slot("b")]).unwrap()
    }

    fn boot(&self) -> (Flash, Booted) {
        let booted = boot::boot(Arc::new(self.dir())).unwrap();
        (self.flash(), booted)
    }

    fn slot(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(format!("slot-{name}.img"))).unwrap()
    }
}

fn image(seed: u8, length: usize) -> (Vec<u8>, Digest) {
    let bytes: Vec<u8> =
        (0..length).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect();
    let digest = digest(&bytes, Algorithm::Sha256);
    (bytes, digest)
}

fn digest(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn stage(flash: &Flash, slot: &str, digest: &Digest, holder: &str) -> Result<Staging, FlashError> {
    flash.stage(slot, digest, holder, Unsigned::Digest)
}

fn sealed(flash: &Flash, slot: &str, seed: u8) {
    let (bytes, digest) = image(seed, 100_000);
    let mut staging = stage(flash, slot, &digest, "job").unwrap();
    let rest = staging.written() as usize;
    staging.append(&bytes[rest..]).unwrap();
    staging.seal(&format!("{seed}.0.0")).unwrap();
}

fn info(flash: &Flash, slot: &str) -> SlotInfo {
    flash.slots().unwrap().into_iter().find(|info| info.name == slot).unwrap()
}

fn artifact(bytes: &[u8], algorithm: Algorithm, vouched: Vouched) -> (tempfile::TempDir, Artifact) {
    let folder = tempfile::tempdir().unwrap();
    let store =
        ArtifactStore::open(Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap(), 1 << 30)
            .unwrap();
    let mut partial = store.partial(&Key::of_digest(&digest(bytes, algorithm))).unwrap().unwrap();
    let origin = Origin { url: "https://a/".into(), validator: None, total: Some(bytes.len() as u64) };
    partial.begin(origin, false).unwrap();
    partial.write(bytes).unwrap();
    (folder, partial.finish("https://a/", vouched).unwrap())
}

#[test]
fn a_new_device_runs_from_its_first_slot() {
    let device = Device::new();
    assert_eq!(boot::boot(Arc::new(device.dir())).unwrap(), Booted { slot: None, trial: false });
    let flash = device.flash();
    assert_eq!(flash.running().unwrap(), "a");
    let a = info(&flash, "a");
    assert!(a.running && a.good && !a.trial && a.content == Content::Empty && a.size == SIZE);
    let b = info(&flash, "b");
    assert!(!b.running && !b.good && b.content == Content::Empty && b.version.is_none());
    flash.confirm().unwrap();
    flash.revert().unwrap();
    assert_eq!(device.slot("b").len() as u64, SIZE);
}

#[test]
fn one_update_from_staging_to_confirmed() {
    let device = Device::new();
    let flash = device.flash();
    let (bytes, digest) = image(1, 1_500_000);
    let (_store, artifact) = artifact(&bytes, Algorithm::Sha256, Vouched::Request);
    let mut staging = stage(&flash, "b", &digest, "job-1").unwrap();
    assert_eq!(staging.append_artifact(&artifact, QUIET).unwrap(), bytes.len() as u64);
    assert!(matches!(flash.activate("b", "job-1"), Err(FlashError::NotSealed(_))));
    staging.seal("2.0.0").unwrap();
    staging.seal("2.0.0").unwrap();
    flash.activate("b", "job-1").unwrap();
    flash.activate("b", "job-1").unwrap();
    assert!(device.slot("b").starts_with(&bytes), "byte-identical");
    let b = info(&flash, "b");
    assert!(b.trial && !b.running && !b.good && b.content == Content::Sealed);
    assert_eq!((b.version.as_deref(), b.digest), (Some("2.0.0"), Some(digest)));

    let (flash, booted) = device.boot();
    assert_eq!(booted, Booted { slot: Some("b".into()), trial: true });
    assert!(flash.boot_expected("b") && !flash.boot_expected("a"));
    flash.confirm().unwrap();
    assert!(info(&flash, "b").good && !info(&flash, "a").good);
    let (flash, booted) = device.boot();
    assert_eq!(booted, Booted { slot: Some("b".into()), trial: false });
    sealed(&flash, "a", 7);
}

#[test]
fn a_trial_that_nobody_confirms_lapses() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.flash().activate("b", "job").unwrap();
    assert_eq!(device.boot().1, Booted { slot: Some("b".into()), trial: true });
    let (flash, booted) = device.boot();
    assert_eq!(booted, Booted { slot: Some("a".into()), trial: false });
    assert!(!flash.boot_expected("b") && !info(&flash, "b").trial);
    assert_eq!(info(&flash, "b").content, Content::Sealed, "it may be tried again");
    flash.activate("b", "job").unwrap();
    flash.revert().unwrap();
    assert_eq!(device.boot().1, Booted { slot: Some("a".into()), trial: false });
}

#[test]
fn a_cut_between_any_two_writes_of_the_boot_record_leaves_one_of_the_two_states() {
    // Each step writes both copies; a cut leaves one torn at any length, or with its old bytes, and the other one as it
    // was or, where that was written before, as it is. Then: boot.
    type Step = fn(&Device, &Flash);
    let steps: [(Step, &[&str]); 3] = [
        (|_, flash| flash.activate("b", "job").unwrap(), &["a", "b"]),
        (|device, _| drop(boot::boot(Arc::new(device.dir())).unwrap()), &["a", "b"]),
        (|_, flash| flash.confirm().unwrap(), &["a", "b"]),
    ];
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    let copies = ["boot.0", "boot.1"].map(|name| device.0.path().join(name));
    let read = || copies.clone().map(|copy| std::fs::read(copy).ok());
    let restore = |state: &[Option<Vec<u8>>; 2]| {
        for (copy, bytes) in copies.iter().zip(state) {
            match bytes {
                Some(bytes) => std::fs::write(copy, bytes).unwrap(),
                None => drop(std::fs::remove_file(copy)),
            }
        }
    };
    for (step, allowed) in steps {
        let before = read();
        step(&device, &device.flash());
        let after = read();
        let sequence = |copy: usize| decode(after[copy].as_deref().unwrap()).unwrap().sequence;
        let first = usize::from(sequence(1) > sequence(0));
        for (changed, other) in [(first, &before), (1 - first, &after)] {
            let whole = after[changed].clone().unwrap();
            let old = before[changed].clone().unwrap_or_default();
            assert_ne!(whole, old, "copy {changed} is written");
            for cut in (0..whole.len()).step_by(37) {
                let mut torn = other.clone();
                let rest = old.get(cut..).unwrap_or_default();
                torn[changed] = Some([&whole[..cut], rest].concat());
                restore(&torn);
                let running = device.boot().0.running().unwrap();
                assert!(allowed.contains(&running.as_str()), "copy {changed} cut at {cut}: {running}");
            }
        }
        restore(&after);
    }
    assert_eq!(device.boot().1, Booted { slot: Some("b".into()), trial: false }, "confirmed in the end");
}

#[test]
fn one_corrupt_copy_costs_nothing_and_two_are_no_panic() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    device.flash().activate("b", "job").unwrap();
    device.boot().0.confirm().unwrap();
    // Each is mended from the other one, so that they may rot in turn.
    for copy in ["boot.0", "boot.1", "boot.0"] {
        std::fs::write(device.0.path().join(copy), b"rubbish").unwrap();
        let flash = device.flash();
        assert!(flash.boot_expected("b") && info(&flash, "b").good && !info(&flash, "b").trial);
    }
    for copy in ["boot.0", "boot.1"] {
        std::fs::write(device.0.path().join(copy), [0xff; 600]).unwrap();
    }
    // The device runs from b, and nothing says so any more: nothing is written until somebody does.
    let flash = device.flash();
    let (bytes, digest) = image(4, 1000);
    assert!(matches!(flash.running(), Err(FlashError::Unknown(_))));
    assert!(flash.slots().unwrap().iter().all(|slot| !slot.running && !slot.good));
    for slot in ["a", "b"] {
        assert!(matches!(stage(&flash, slot, &digest, "job"), Err(FlashError::Unknown(_))), "{slot}");
    }
    for refused in [flash.confirm(), flash.revert(), flash.activate("b", "job")] {
        assert!(matches!(refused, Err(FlashError::Unknown(_))), "{refused:?}");
    }
    assert!(matches!(flash.declare_running("c"), Err(FlashError::UnknownSlot(..))));
    flash.declare_running("b").unwrap();
    flash.declare_running("b").unwrap();
    assert!(matches!(flash.declare_running("a"), Err(FlashError::Busy(_))), "it is known now");
    assert!(info(&flash, "b").running && info(&flash, "b").good);
    stage(&flash, "a", &digest, "job").unwrap().append(&bytes).unwrap();
    assert_eq!(device.boot().1, Booted { slot: Some("b".into()), trial: false });
}

#[test]
fn the_running_slot_and_the_fallback_are_never_written() {
    let device = Device::new();
    let flash = device.flash();
    let (_, digest) = image(3, 10);
    assert!(matches!(stage(&flash, "a", &digest, "job"), Err(FlashError::Busy(_))));
    assert!(matches!(flash.activate("a", "job"), Err(FlashError::NotSealed(_))));
    sealed(&flash, "b", 1);
    flash.activate("b", "job").unwrap();
    assert!(matches!(stage(&flash, "b", &digest, "job"), Err(FlashError::Busy(_))), "armed");
    sealed(&flash, "b", 1);
    let (flash, _) = device.boot();
    for slot in ["a", "b"] {
        assert!(matches!(stage(&flash, slot, &digest, "job"), Err(FlashError::Busy(_))), "{slot} on trial");
    }
    flash.revert().unwrap();
    assert!(matches!(stage(&flash, "a", &digest, "job"), Err(FlashError::Busy(_))), "the fallback");
    assert!(matches!(flash.confirm(), Err(FlashError::Busy(_))), "given up");
}

#[test]
fn staging_goes_on_where_the_durable_bytes_end() {
    let device = Device::new();
    let (bytes, digest) = image(1, 3_000_000);
    let (_store, artifact) = artifact(&bytes, Algorithm::Sha256, Vouched::Request);
    let flash = device.flash();
    let mut staging = stage(&flash, "b", &digest, "job").unwrap();
    staging.append(&bytes[..1_000_000]).unwrap();
    assert_eq!(info(&flash, "b").content, Content::Empty, "nothing durable yet");
    // Another process: what was not flushed does not count, and is written again.
    let flash = device.flash();
    let mut staging = stage(&flash, "b", &digest, "job").unwrap();
    assert_eq!(staging.written(), 0);
    staging.append_artifact(&artifact, QUIET).unwrap();
    assert_eq!(info(&flash, "b").content, Content::Partial);
    let mut staging = stage(&device.flash(), "b", &digest, "job").unwrap();
    assert_eq!(staging.written(), bytes.len() as u64);
    staging.seal("1").unwrap();
    // Another digest: from nothing, and what was sealed is gone before the first byte is written.
    let (_, other) = image(2, 10);
    assert_eq!(stage(&device.flash(), "b", &other, "job").unwrap().written(), 0);
    assert_eq!(info(&device.flash(), "b").content, Content::Empty);
    assert!(matches!(device.flash().activate("b", "job"), Err(FlashError::NotSealed(_))));
}

#[test]
fn seal_reads_back_and_notices_one_wrong_byte() {
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        let device = Device::new();
        let flash = device.flash();
        let (bytes, _) = image(1, 2_000_000);
        let expected = digest(&bytes, algorithm);
        let (_store, artifact) = artifact(&bytes, algorithm, Vouched::Request);
        let mut staging = stage(&flash, "b", &expected, "job").unwrap();
        staging.append_artifact(&artifact, QUIET).unwrap();
        let mut rotten = device.slot("b");
        rotten[1_234_567] ^= 1;
        std::fs::write(device.0.path().join("slot-b.img"), rotten).unwrap();
        let Err(FlashError::DigestMismatch { actual, .. }) = staging.seal("1") else {
            panic!("sealed a rotten image")
        };
        assert_ne!(actual, expected);
        assert_eq!(info(&flash, "b").content, Content::Empty);
        assert!(matches!(flash.activate("b", "job"), Err(FlashError::NotSealed(_))));
        // Staged again it is well.
        let mut staging = stage(&flash, "b", &expected, "job").unwrap();
        staging.append_artifact(&artifact, QUIET).unwrap();
        staging.seal("1").unwrap();
    }
}

#[test]
fn what_does_not_fit_is_refused_before_a_byte_is_written() {
    let device = Device::new();
    let flash = device.flash();
    let before = device.slot("b");
    let (bytes, digest) = image(1, SIZE as usize + 1);
    let (_store, large) = artifact(&bytes, Algorithm::Sha256, Vouched::Request);
    let mut staging = stage(&flash, "b", &digest, "job").unwrap();
    let full = staging.append_artifact(&large, QUIET);
    assert!(
        matches!(full, Err(FlashError::InsufficientSpace { needed, available: SIZE }) if needed == SIZE + 1)
    );
    assert!(matches!(staging.append(&bytes), Err(FlashError::InsufficientSpace { .. })));
    assert!(matches!(staging.seal("1"), Err(FlashError::NotSealed(_))), "nothing was written");
    let (_store, other) = artifact(b"something else", Algorithm::Sha256, Vouched::Request);
    assert!(matches!(staging.append_artifact(&other, QUIET), Err(FlashError::DigestMismatch { .. })));
    assert_eq!(device.slot("b"), before);
}

#[test]
fn the_policy_decides_whose_word_is_needed() {
    let device = Device::new();
    let flash = device.flash();
    let (bytes, digest) = image(1, 1000);
    let Err(FlashError::Untrusted(text)) = flash.stage("b", &digest, "job", Unsigned::Deny) else { panic!() };
    assert!(text.contains("firmware.unsigned is \"deny\""), "{text}");
    let (_store, bare) = artifact(&bytes, Algorithm::Sha256, Vouched::Nobody);
    let mut staging = flash.stage("b", &digest, "job", Unsigned::Digest).unwrap();
    assert!(matches!(staging.append_artifact(&bare, QUIET), Err(FlashError::Untrusted(_))));
    let mut staging = flash.stage("b", &digest, "job", Unsigned::Allow).unwrap();
    staging.append_artifact(&bare, QUIET).unwrap();
    staging.seal("1").unwrap();
}

#[test]
fn one_job_at_a_time_holds_a_slot() {
    let device = Device::new();
    let flash = device.flash();
    let (bytes, digest) = image(1, 1000);
    let mut first = stage(&flash, "b", &digest, "job-1").unwrap();
    let Err(FlashError::Leased { holder, .. }) = stage(&flash, "b", &digest, "job-2") else { panic!() };
    assert_eq!(holder, "job-1");
    assert!(matches!(flash.activate("b", "job-2"), Err(FlashError::Leased { .. })));
    let mut again = stage(&flash, "b", &digest, "job-1").unwrap();
    assert!(matches!(first.append(&bytes), Err(FlashError::Busy(_))), "an older staging of the same job");
    flash.release("job-2");
    again.append(&bytes).unwrap();
    flash.release("job-1");
    assert!(matches!(again.append(&bytes), Err(FlashError::Busy(_))), "the job has ended");
    assert!(matches!(again.seal("1"), Err(FlashError::Busy(_))));
    stage(&flash, "b", &digest, "job-2").unwrap();
}

#[test]
fn a_corrupt_slot_record_means_that_the_content_is_not_known() {
    let device = Device::new();
    sealed(&device.flash(), "b", 1);
    std::fs::write(device.0.path().join("slots/b"), b"{}").unwrap();
    let flash = device.flash();
    assert_eq!(info(&flash, "b").content, Content::Empty);
    assert!(matches!(flash.activate("b", "job"), Err(FlashError::NotSealed(_))));
    sealed(&flash, "b", 1);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let device = Device::new();
    let slot = |name: &str, file: &str, size| SlotConfig { name: name.into(), file: file.into(), size };
    let bad = [
        vec![slot("", "x", 1)],
        vec![slot("../b", "x", 1)],
        vec![slot(&"x".repeat(65), "x", 1)],
        vec![slot("a", "x", 0)],
        vec![slot("a", "x", 1), slot("a", "y", 1)],
        vec![slot("a", "x", 1), slot("b", "x", 1)],
    ];
    for slots in bad {
        let text = format!("{slots:?}");
        assert!(
            matches!(Flash::open(Arc::new(device.dir()), slots), Err(FlashError::Configuration(_))),
            "{text}"
        );
    }
    assert!(Flash::open(Arc::new(device.dir()), vec![slot("a", "../x", 1)]).is_err(), "out of the directory");
    let none = Flash::open(Arc::new(device.dir()), vec![]).unwrap();
    assert_eq!((none.running().unwrap().as_str(), none.slots().unwrap().len()), ("", 0));
    let Err(FlashError::UnknownSlot(..)) = stage(&none, "a", &image(1, 1).1, "job") else { panic!() };
    // The boot record names a slot that the configuration has not.
    sealed(&device.flash(), "b", 1);
    device.flash().activate("b", "job").unwrap();
    device.boot().0.confirm().unwrap();
    let renamed = Flash::open(
        Arc::new(device.dir()),
        vec![slot("x", "slot-a.img", SIZE), slot("y", "slot-b.img", SIZE)],
    );
    assert!(matches!(renamed, Err(FlashError::Configuration(_))));
}

#[test]
fn a_signed_target_vouches_where_the_policy_denies_also_after_a_restart() {
    let device = Device::new();
    let (bytes, digest) = image(1, 1000);
    let signed = || SignedImage {
        target: "images/fw.img".into(),
        name: None,
        version: Some("2.0.0".into()),
        sequence: None,
    };
    let (_store, artifact) = artifact(&bytes, Algorithm::Sha256, Vouched::Signed);
    device
        .flash()
        .stage("b", &digest, "job", Assurance::Signed(signed()))
        .unwrap()
        .append(&bytes[..500])
        .unwrap();
    // Another process, and the repository cannot be asked.
    let flash = device.flash();
    let mut staging = flash.stage("b", &digest, "job", Unsigned::Deny).unwrap();
    staging.append_artifact(&artifact, QUIET).unwrap();
    let Err(FlashError::Untrusted(text)) = staging.seal("3.0.0") else { panic!() };
    assert!(text.contains("3.0.0") && text.contains("2.0.0"), "{text}");
    staging.seal("2.0.0").unwrap();
    // A job that names no version seals with a beginning of the digest.
    staging.seal(&digest.hex()[..12]).unwrap();
    let (_, other) = image(2, 1000);
    let refused = flash.stage("b", &other, "job", Unsigned::Deny);
    assert!(matches!(refused, Err(FlashError::Untrusted(_))), "it vouched for this image alone");
}
