//! U-Boot's environment, with `fw_printenv` and `fw_setenv`.

use std::fs;

use hotshoed::flash::{
    FlashError,
    control::{Copy, UBoot},
};

use super::*;

const SIZE: u64 = 0x400;
const OTHERS: &str = "bootcmd=run distro_bootcmd\nbootdelay=2\nodd=a=b \\ c\n";

/// A device whose environment U-Boot has saved before.
struct Device {
    folder: tempfile::TempDir,
    copies: u64,
}

impl Device {
    /// `None` where the tools are missing.
    fn new(copies: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("env"), vec![0xff; (0x100 + copies * SIZE) as usize]).unwrap();
        let place = |copy: u64| format!("env {:#x} {SIZE:#x}\n", 0x100 + copy * SIZE);
        fs::write(path.join("config"), (0..copies).map(place).collect::<String>()).unwrap();
        fs::write(path.join("defaults"), OTHERS).unwrap();
        let device = Self { folder, copies };
        if device.run("fw_setenv", &["-f", "defaults", "saved", "once"]).is_none() {
            eprintln!("fw_setenv is not there: not tested");
            return None;
        }
        Some(device)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        tool(self.path(), program, &[&["-c", "config"], arguments].concat()).map(text)
    }

    fn printed(&self) -> String {
        self.run("fw_printenv", &[]).unwrap()
    }

    fn set(&self, name: &str, value: &str) {
        self.run("fw_setenv", &[name, value]).unwrap();
    }

    fn control(&self) -> Box<UBoot> {
        let copy =
            |copy: u64| Copy { folder: folder(self.path()), name: "env".into(), offset: 0x100 + copy * SIZE };
        Box::new(UBoot::new((0..self.copies).map(copy).collect(), SIZE).unwrap())
    }

    fn flash(&self, running: Option<&str>) -> Flash {
        flash(self.path(), self.control(), running)
    }

    /// What `boot.cmd` does; says what it boots.
    fn boot(&self) -> String {
        let printed = self.printed();
        let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        match (value("hotshoe_trial"), value("hotshoe_tries")) {
            (Some(trial), Some("1")) => {
                let trial = trial.to_owned();
                self.set("hotshoe_tries", "0");
                trial
            }
            _ => value("hotshoe_good").unwrap_or("a").to_owned(),
        }
    }
}

#[test]
fn the_tools_read_what_is_written_and_the_reverse() {
    for copies in [1, 2] {
        let Some(device) = Device::new(copies) else { return };
        assert_eq!(device.boot(), "a", "nothing was ever installed");
        let flash = device.flash(Some("a"));
        assert!(info(&flash, "a").running && info(&flash, "a").good);
        arm(&flash, "b");
        assert_eq!(ours(&device.printed()), ["hotshoe_good=a", "hotshoe_trial=b", "hotshoe_tries=1"]);
        for other in OTHERS.lines().chain(["saved=once"]) {
            assert!(device.printed().lines().any(|line| line == other), "{other} is kept");
        }
        assert_eq!(device.boot(), "b");
        let flash = device.flash(Some("b"));
        assert!(flash.on_trial() && flash.boot_expected("b"));
        flash.confirm().unwrap();
        assert_eq!(ours(&device.printed()), ["hotshoe_good=b"]);
        assert_eq!(device.boot(), "b");

        // Nobody confirms: it goes back by itself.
        let flash = device.flash(Some("b"));
        arm(&flash, "a");
        assert_eq!((device.boot(), device.boot()), ("a".into(), "b".into()));
        let flash = device.flash(Some("b"));
        assert!(!flash.on_trial() && !info(&flash, "a").trial, "lapsed");
        arm(&flash, "a");
        flash.revert().unwrap();
        assert_eq!((device.boot(), ours(&device.printed())), ("b".into(), vec!["hotshoe_good=b"]));
        // Somebody else changes a variable of theirs in between.
        device.set("bootdelay", "5");
        arm(&device.flash(Some("b")), "a");
        assert!(device.printed().contains("bootdelay=5\n"));
    }
}

#[test]
fn the_newer_copy_counts_also_after_255_saves() {
    let Some(device) = Device::new(2) else { return };
    let flash = device.flash(Some("a"));
    for round in 0..150 {
        arm(&flash, "b");
        if round % 10 == 7 {
            assert_eq!(ours(&device.printed()), ["hotshoe_good=a", "hotshoe_trial=b", "hotshoe_tries=1"]);
        }
        flash.revert().unwrap();
    }
    assert_eq!(ours(&device.printed()), ["hotshoe_good=a"]);
    device.set("hotshoe_good", "b");
    assert!(info(&device.flash(Some("b")), "b").good);
}

#[test]
fn a_torn_save_leaves_one_of_the_two_states() {
    let Some(device) = Device::new(2) else { return };
    let file = device.path().join("env");
    arm(&device.flash(Some("a")), "b");
    device.flash(Some("a")).revert().unwrap();
    let before = fs::read(&file).unwrap();
    arm(&device.flash(Some("a")), "b");
    let after = fs::read(&file).unwrap();
    let changed = (0..after.len()).filter(|at| before[*at] != after[*at]).collect::<Vec<_>>();
    let (first, last) = (changed[0], changed[changed.len() - 1]);
    let mut seen = [0, 0];
    for cut in (first..=last + 1).step_by(7) {
        fs::write(&file, [&after[..cut], &before[cut..]].concat()).unwrap();
        let flash = device.flash(Some("a"));
        let armed = flash.armed("job").unwrap().is_some();
        seen[usize::from(armed)] += 1;
        let expected: &[&str] = if armed {
            &["hotshoe_good=a", "hotshoe_trial=b", "hotshoe_tries=1"]
        } else {
            &["hotshoe_good=a"]
        };
        assert_eq!(ours(&device.printed()), expected, "cut at {cut}: the tool sees the same");
        // And the next save is well.
        arm(&flash, "b");
        assert_eq!(ours(&device.printed()).len(), 3, "cut at {cut}");
    }
    assert!(seen[0] > 0, "{seen:?}");
}

#[test]
fn without_a_valid_copy_nothing_is_armed_and_nothing_is_lost() {
    let Some(device) = Device::new(2) else { return };
    let file = device.path().join("env");
    let rubbish = vec![0x55; fs::read(&file).unwrap().len()];
    fs::write(&file, &rubbish).unwrap();
    let flash = device.flash(Some("b"));
    assert_eq!(flash.running().unwrap(), "b", "the kernel says so");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let mut staging = flash.stage("a", &hasher.finish(), "job", Unsigned::Digest).unwrap();
    staging.append(b"image").unwrap();
    staging.seal("2").unwrap();
    let Err(FlashError::Io { text, .. }) = flash.activate("a", "job") else { panic!() };
    assert!(text.contains("saveenv"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), rubbish);
}

#[test]
fn without_a_word_of_the_kernel_no_slot_is_written() {
    let Some(device) = Device::new(2) else { return };
    arm(&device.flash(Some("a")), "b");
    let flash = device.flash(None);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"other");
    for slot in ["a", "b"] {
        let staged = flash.stage(slot, &hasher.finish(), "job", Unsigned::Digest);
        assert!(matches!(staged, Err(FlashError::Unknown(_))), "{staged:?}");
        hasher = Hasher::new(Algorithm::Sha256);
    }
    assert!(matches!(flash.confirm(), Err(FlashError::Unknown(_))));
    let Err(FlashError::Unknown(text)) = flash.declare_running("a") else { panic!() };
    assert!(text.contains("command line") && text.contains("u-boot"), "{text}");
}

#[test]
fn a_full_environment_is_said_and_stays() {
    let Some(device) = Device::new(2) else { return };
    device.set("large", &"x".repeat(SIZE as usize - 90));
    let before = device.printed();
    let flash = device.flash(Some("a"));
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let mut staging = flash.stage("b", &hasher.finish(), "job", Unsigned::Digest).unwrap();
    staging.append(b"image").unwrap();
    staging.seal("2").unwrap();
    let Err(FlashError::Io { text, .. }) = flash.activate("b", "job") else { panic!() };
    assert!(text.contains("no room"), "{text}");
    assert_eq!(device.printed(), before);
}
