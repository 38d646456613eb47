//! GRUB's environment block, with `grub-editenv`.

use std::fs;

use hotshoe_core::slot::SECTOR;
use hotshoed::flash::{FlashError, control::Grub};

use super::*;

/// A device whose block was made when it was installed.
struct Device(tempfile::TempDir);

impl Device {
    /// `None` where the tool is missing.
    fn new() -> Option<Self> {
        let device = Self(tempfile::tempdir().unwrap());
        if device.edit(&["create"]).is_none() {
            eprintln!("grub-editenv is not there: not tested");
            return None;
        }
        device.edit(&["set", "saved_entry=0", "odd=a\\b=c", "hotshoe_good=a"]);
        Some(device)
    }

    fn edit(&self, arguments: &[&str]) -> Option<String> {
        tool(self.0.path(), "grub-editenv", &[&["grubenv"], arguments].concat()).map(text)
    }

    fn listed(&self) -> String {
        self.edit(&["list"]).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.0.path().join("grubenv")).unwrap()
    }

    fn flash(&self, running: &str) -> Flash {
        flash(self.0.path(), Box::new(Grub::new(folder(self.0.path()), "grubenv")), Some(running))
    }

    /// What `grub.cfg` does; says what it boots.
    fn boot(&self) -> String {
        let listed = self.listed();
        let value = |name: &str| listed.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        if value("hotshoe_tries") == Some("1") {
            self.edit(&["set", "hotshoe_tries=0"]);
            return value("hotshoe_trial").unwrap().to_owned();
        }
        value("hotshoe_good").unwrap().to_owned()
    }
}

#[test]
fn the_tool_reads_what_is_written_and_the_reverse() {
    let Some(device) = Device::new() else { return };
    let mut good = "a";
    for (round, other) in ["b", "a", "b"].into_iter().enumerate() {
        let flash = device.flash(good);
        assert!(info(&flash, good).good && info(&flash, good).running);
        arm(&flash, other);
        let expected =
            [format!("hotshoe_good={good}"), format!("hotshoe_trial={other}"), "hotshoe_tries=1".into()];
        assert_eq!(ours(&device.listed()), expected, "{round}");
        for line in ["saved_entry=0", "odd=a\\b=c"] {
            assert!(device.listed().lines().any(|listed| listed == line), "{line}: {}", device.listed());
        }
        // It does not confirm, and goes back by itself.
        assert_eq!((device.boot(), device.boot()), (other.into(), good.into()));
        let flash = device.flash(good);
        assert!(!flash.on_trial() && !info(&flash, other).trial);
        arm(&flash, other);
        assert_eq!(device.boot(), other);
        let flash = device.flash(other);
        assert!(flash.on_trial());
        flash.confirm().unwrap();
        assert_eq!(ours(&device.listed()), [format!("hotshoe_good={other}")]);
        assert_eq!(device.bytes().len(), 1024);
        good = other;
    }
}

#[test]
fn a_change_is_one_sector_ours_and_grubs() {
    let Some(device) = Device::new() else { return };
    // Others have filled the second sector.
    device.edit(&["set", &format!("long={}", "x".repeat(500))]);
    arm(&device.flash("a"), "b");
    let mut before = device.bytes();
    let step = |what: &str, before: &mut Vec<u8>| {
        let after = device.bytes();
        assert_ne!(before[..SECTOR], after[..SECTOR], "{what}");
        assert_eq!(before[SECTOR..], after[SECTOR..], "{what}");
        *before = after;
    };
    assert_eq!(device.boot(), "b");
    step("the boot", &mut before);
    device.flash("b").confirm().unwrap();
    step("confirm", &mut before);
    arm(&device.flash("b"), "a");
    step("arm", &mut before);
    device.flash("b").revert().unwrap();
    step("revert", &mut before);
}

#[test]
fn what_is_no_block_is_never_written() {
    let Some(device) = Device::new() else { return };
    let rubbish = vec![b'#'; 1024];
    fs::write(device.0.path().join("grubenv"), &rubbish).unwrap();
    let flash = device.flash("b");
    assert_eq!(flash.running().unwrap(), "b");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let mut staging = flash.stage("a", &hasher.finish(), "job", Unsigned::Digest).unwrap();
    staging.append(b"image").unwrap();
    staging.seal("2").unwrap();
    let Err(FlashError::Io { text, .. }) = flash.activate("a", "job") else { panic!() };
    assert!(text.contains("grub-editenv"), "{text}");
    assert_eq!(device.bytes(), rubbish);
    fs::remove_file(device.0.path().join("grubenv")).unwrap();
    let flash = device.flash("b");
    assert_eq!(flash.running().unwrap(), "b", "a device that is reached can be mended");
    assert!(matches!(flash.activate("a", "job"), Err(FlashError::Io { .. })));
}
