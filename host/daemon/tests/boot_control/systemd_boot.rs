//! systemd-boot's counted entries, by the rules of the Boot Loader Specification.

use std::fs;

use hotshoe_core::slot::loader::EntryName;
use hotshoed::flash::{FlashError, control::SystemdBoot};

use super::*;

struct Device(tempfile::TempDir);

impl Device {
    fn new() -> Self {
        let device = Self(tempfile::tempdir().unwrap());
        fs::create_dir(device.entries()).unwrap();
        for (name, slot) in [("hotshoe-2-a.conf", "a"), ("hotshoe-1-b+0.conf", "b"), ("other.conf", "other")]
        {
            let text = format!("title {slot}\nlinux /{slot}/linux\noptions hotshoe.slot={slot}\n");
            fs::write(device.entries().join(name), text).unwrap();
        }
        device
    }

    fn entries(&self) -> std::path::PathBuf {
        self.0.path().join("entries")
    }

    fn flash(&self, running: &str) -> Flash {
        flash(self.0.path(), Box::new(SystemdBoot::new(folder(&self.entries()))), Some(running))
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.entries()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// systemd-boot's order and count; says which slot the entry boots that it chooses.
    fn boot(&self) -> String {
        let mut entries: Vec<_> = self.names().iter().filter_map(|name| EntryName::parse(name)).collect();
        entries.sort_by_key(|entry| {
            (entry.counter.is_some_and(|(left, _)| left == 0), std::cmp::Reverse(entry.generation))
        });
        let chosen = &entries[0];
        let mut file = chosen.file();
        if let Some((left, done)) = chosen.counter {
            let counted =
                EntryName { counter: Some((left.saturating_sub(1), done + 1)), ..chosen.clone() }.file();
            fs::rename(self.entries().join(&file), self.entries().join(&counted)).unwrap();
            file = counted;
        }
        let text = fs::read_to_string(self.entries().join(file)).unwrap();
        text.trim().rsplit_once('=').unwrap().1.to_owned()
    }
}

#[test]
fn one_try_then_good_or_back() {
    let device = Device::new();
    let mut good = "a".to_owned();
    for other in ["b", "a", "b"] {
        assert_eq!(device.boot(), good);
        let flash = device.flash(&good);
        assert!(info(&flash, &good).good && !info(&flash, other).trial);
        arm(&flash, other);
        assert!(info(&device.flash(&good), other).trial);
        assert_eq!((device.boot(), device.boot()), (other.to_owned(), good.clone()), "{:?}", device.names());
        let flash = device.flash(&good);
        assert!(!flash.on_trial() && !info(&flash, other).trial);
        arm(&flash, other);
        assert_eq!(device.boot(), other);
        let flash = device.flash(other);
        assert!(flash.on_trial());
        flash.confirm().unwrap();
        assert!(info(&flash, other).good);
        other.clone_into(&mut good);
    }
    assert!(device.names().contains(&"other.conf".to_owned()), "others' entries are left alone");
}

#[test]
fn an_entry_that_is_missing_is_said() {
    let device = Device::new();
    fs::remove_file(device.entries().join("hotshoe-1-b+0.conf")).unwrap();
    let flash = device.flash("a");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let mut staging = flash.stage("b", &hasher.finish(), "job", Unsigned::Digest).unwrap();
    staging.append(b"image").unwrap();
    staging.seal("2").unwrap();
    let Err(FlashError::Io { text, .. }) = flash.activate("b", "job") else { panic!() };
    assert!(text.contains("\"b\""), "{text}");
    assert_eq!(device.boot(), "a");
}
