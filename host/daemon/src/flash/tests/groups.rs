//! Groups of slots, and what the kernel's command line says.

use super::*;
use crate::flash::control::File;

/// Two groups of a kernel and a root file system each.
fn grouped(device: &Device, running: Option<&str>) -> Flash {
    let folder: Arc<dyn Folder> = Arc::new(device.dir());
    let part = |group: &str, part: &str, size| PartConfig {
        name: format!("{group}/{part}"),
        size,
        place: Place::File { folder: Arc::clone(&folder), name: format!("{part}-{group}.img") },
    };
    let group = |name: &str| GroupConfig {
        name: name.into(),
        parts: vec![part(name, "kernel", 200_000), part(name, "root", SIZE)],
    };
    let settings = FlashSettings {
        groups: vec![group("a"), group("b")],
        boot: Box::new(File::new(Arc::clone(&folder))),
        running: running.map(str::to_owned),
    };
    Flash::with(folder, settings).unwrap()
}

fn seal(flash: &Flash, slot: &str, seed: u8, job: &str) {
    let (bytes, digest) = image(seed, 100_000);
    let mut staging = stage(flash, slot, &digest, job).unwrap();
    let rest = staging.written() as usize;
    staging.append(&bytes[rest..]).unwrap();
    staging.seal("1").unwrap();
}

#[test]
fn a_group_moves_together() {
    let device = Device::new();
    let flash = grouped(&device, None);
    let names: Vec<_> = flash.groups().into_iter().map(|group| (group.name, group.parts)).collect();
    assert_eq!(names[1], ("b".into(), vec!["b/kernel".into(), "b/root".into()]));
    assert!(info(&flash, "a/root").running && info(&flash, "a/kernel").good);
    assert!(matches!(stage(&flash, "a/root", &image(1, 10).1, "job"), Err(FlashError::Busy(_))), "running");
    let Err(FlashError::UnknownSlot(_, known)) = flash.activate("b/kernel", "job") else { panic!() };
    assert_eq!(known, "a, b", "a part does not boot");

    let early = stage(&flash, "b/root", &image(2, 10).1, "job");
    assert!(matches!(early, Err(FlashError::Busy(_))), "the kernel comes first");
    seal(&flash, "b/kernel", 1, "job");
    assert!(matches!(flash.activate("b", "job"), Err(FlashError::NotSealed(_))), "half of it");
    // Another process goes on.
    let flash = grouped(&device, None);
    seal(&flash, "b/root", 2, "job");
    flash.activate("b", "job").unwrap();
    flash.activate("b", "job").unwrap();
    assert_eq!(flash.armed("job").unwrap().as_deref(), Some("b"));
    assert!(info(&flash, "b/kernel").trial && info(&flash, "b/root").trial);
    assert_eq!(boot::boot(Arc::new(device.dir())).unwrap(), Booted { slot: Some("b".into()), trial: true });
    let flash = grouped(&device, None);
    assert!(flash.boot_expected("b") && flash.on_trial());
    flash.confirm().unwrap();
    assert!(info(&flash, "b/root").good && !info(&flash, "a/kernel").good && !flash.on_trial());
}

#[test]
fn no_part_of_an_older_update_boots_with_a_newer_one() {
    let device = Device::new();
    let flash = grouped(&device, None);
    seal(&flash, "b/kernel", 1, "job-1");
    seal(&flash, "b/root", 2, "job-1");
    flash.release("job-1");
    // The next update has written its kernel, and was cut.
    let flash = grouped(&device, None);
    seal(&flash, "b/kernel", 3, "job-2");
    assert_eq!(info(&flash, "b/root").content, Content::Sealed, "the one of before");
    for job in ["job-1", "job-2"] {
        let refused = flash.activate("b", job);
        assert!(matches!(refused, Err(FlashError::NotSealed(_) | FlashError::Leased { .. })), "{refused:?}");
    }
    flash.release("job-2");
    let Err(FlashError::NotSealed(text)) = flash.activate("b", "job-2") else { panic!() };
    assert!(text.contains("b/root") && text.contains("another update"), "{text}");
    // A third one wants that root file system: it is taken over without a byte written, in order.
    let early = stage(&flash, "b/root", &image(2, 100_000).1, "job-3");
    assert!(matches!(early, Err(FlashError::Busy(_))), "its kernel was not staged in this job");
    seal(&flash, "b/kernel", 3, "job-3");
    assert_eq!(stage(&flash, "b/root", &image(2, 100_000).1, "job-3").unwrap().written(), 100_000);
    seal(&flash, "b/root", 2, "job-3");
    flash.activate("b", "job-3").unwrap();
}

#[test]
fn a_part_that_is_taken_over_is_read_again_and_so_is_each_before_they_are_armed() {
    let device = Device::new();
    let flash = grouped(&device, None);
    seal(&flash, "b/kernel", 1, "job-1");
    seal(&flash, "b/root", 2, "job-1");
    let damage = |file: &str| {
        let path = device.0.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[50_000] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    damage("kernel-b.img");
    let flash = grouped(&device, None);
    let mut staging = stage(&flash, "b/kernel", &image(1, 100_000).1, "job-2").unwrap();
    assert!(matches!(staging.seal("1"), Err(FlashError::DigestMismatch { .. })));
    seal(&flash, "b/kernel", 1, "job-2");
    seal(&flash, "b/root", 2, "job-2");
    flash.prove("b", "job-2").unwrap();
    damage("root-b.img");
    let flash = grouped(&device, None);
    assert!(matches!(flash.prove("b", "job-2"), Err(FlashError::DigestMismatch { .. })));
    assert!(matches!(flash.activate("b", "job-2"), Err(FlashError::NotSealed(_))));
    assert_eq!(info(&flash, "b/kernel").content, Content::Sealed, "which is whole");
}

#[test]
fn what_the_kernel_says_counts_over_the_record() {
    let device = Device::new();
    // A new device that was installed to run from b.
    let flash = grouped(&device, Some("b"));
    assert!(info(&flash, "b/root").running && info(&flash, "b/root").good);
    assert!(matches!(stage(&flash, "b/kernel", &image(1, 10).1, "job"), Err(FlashError::Busy(_))));
    seal(&flash, "a/kernel", 1, "job");
    seal(&flash, "a/root", 2, "job");
    flash.activate("a", "job").unwrap();
    // It did not come up, and nobody wrote that down but the kernel that runs.
    let flash = grouped(&device, Some("b"));
    assert_eq!(flash.armed("job").unwrap().as_deref(), Some("a"), "still armed: the loader has not spent it");
    boot::boot(Arc::new(device.dir())).unwrap();
    let flash = grouped(&device, Some("b"));
    assert!(!flash.on_trial() && !info(&flash, "a/root").trial, "lapsed");
    assert!(!flash.boot_expected("a"));
    // With both copies gone the truth is still known.
    for copy in ["boot.0", "boot.1"] {
        std::fs::write(device.0.path().join(copy), [0xff; 600]).unwrap();
    }
    let flash = grouped(&device, Some("b"));
    assert_eq!(flash.running().unwrap(), "b");
    assert!(matches!(stage(&flash, "b/kernel", &image(1, 10).1, "job"), Err(FlashError::Busy(_))));
    seal(&flash, "a/kernel", 4, "job");
}

#[test]
fn groups_that_make_no_sense_are_refused() {
    let device = Device::new();
    let folder: Arc<dyn Folder> = Arc::new(device.dir());
    let part = |name: &str, file: &str, size| PartConfig {
        name: name.into(),
        size,
        place: Place::File { folder: Arc::clone(&folder), name: file.into() },
    };
    let group = |name: &str, parts| GroupConfig { name: name.into(), parts };
    let bad = [
        vec![group("a", vec![])],
        vec![group("a", vec![part("b/x", "1", 1)])],
        vec![group("a", vec![part("a/", "1", 1)])],
        vec![group("a", vec![part("a/x/y", "1", 1)])],
        vec![group("a", vec![part("a/..", "1", 1)])],
        vec![group("a", vec![part("a/x", "1", 1), part("a/x", "2", 1)])],
        vec![group("a", vec![part("a/x", "1", 1), part("a/y", "1", 1)])],
        vec![group("a", vec![part("a/x", "1", 1)]), group("a.part.x", vec![part("a.part.x", "2", 1)])],
    ];
    for groups in bad {
        let text = format!("{groups:?}");
        let boot = Box::new(File::new(Arc::clone(&folder)));
        let opened = Flash::with(Arc::clone(&folder), FlashSettings { groups, boot, running: None });
        assert!(matches!(opened, Err(FlashError::Configuration(_))), "{text}");
    }
}
