//! Slots that are directories of files.

use std::os::unix::fs::PermissionsExt;

use tar::{Builder, EntryType, Header};

use super::*;

fn flash(device: &Device) -> Flash {
    let folder: Arc<dyn Folder> = Arc::new(device.dir());
    let directory = Arc::new(device.dir());
    let group = |name: &str| {
        let (folder, directory) = (Arc::clone(&folder), Arc::clone(&directory));
        let place = Place::Tree { folder, directory, name: format!("root-{name}") };
        GroupConfig { name: name.into(), parts: vec![PartConfig { name: name.into(), size: SIZE, place }] }
    };
    let boot = Box::new(control::File::new(Arc::clone(&folder)));
    let settings = FlashSettings { groups: vec![group("a"), group("b")], boot, running: None };
    Flash::with(Arc::clone(&folder), settings).unwrap()
}

struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, path: &str, link: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        // Past the checks of who makes honest ones.
        let name = &mut header.as_gnu_mut().unwrap().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        let target = &mut header.as_gnu_mut().unwrap().linkname;
        target[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn stage(self, flash: &Flash) -> Result<(), FlashError> {
        let bytes = self.0.into_inner().unwrap();
        let digest = digest(&bytes, Algorithm::Sha256);
        let mut staging = stage(flash, "b", &digest, "job").unwrap();
        staging.append(&bytes).unwrap();
        staging.seal("2.0.0")
    }
}

use EntryType::{Block, Directory, Link, Regular, Symlink};

#[test]
fn a_tree_is_unpacked_whole_and_replaced_whole() {
    let device = Device::new();
    let flash = flash(&device);
    let long = format!("{}/file", "x".repeat(80));
    Tar::new()
        .add(Directory, "./", "", 0o755, b"")
        .add(Directory, "bin", "", 0o750, b"")
        .add(Regular, "bin/tool", "", 0o4755, b"#!/bin/sh\n")
        .add(Regular, "etc/deep/er/file", "", 0o600, b"no entry for its directories")
        .add(Symlink, "bin/again", "../bin/tool", 0o777, b"")
        .add(Link, "bin/same", "bin/tool", 0o755, b"")
        .add(Regular, &long, "", 0o644, b"")
        .stage(&flash)
        .unwrap();
    let root = device.0.path().join("root-b");
    assert_eq!(std::fs::read(root.join("bin/again")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(std::fs::read(root.join("bin/same")).unwrap(), b"#!/bin/sh\n");
    let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin"), mode("bin/tool"), mode("etc/deep/er/file")), (0o750, 0o4755, 0o600));
    assert!(root.join(long).exists());
    assert!(!device.0.path().join("root-b.new").exists() && !device.0.path().join("root-a").exists());
    flash.activate("b", "job").unwrap();
    flash.revert().unwrap();

    // A cut while the next one was unpacked has left a half.
    std::fs::create_dir_all(device.0.path().join("root-b.new/half")).unwrap();
    Tar::new().add(Regular, "only", "", 0o644, b"new").stage(&flash).unwrap();
    let names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["only"]);
}

#[test]
fn what_has_become_of_a_tree_is_unpacked_anew_before_it_is_armed() {
    let device = Device::new();
    Tar::new().add(Regular, "file", "", 0o644, b"signed").stage(&flash(&device)).unwrap();
    let root = device.0.path().join("root-b");
    std::fs::write(root.join("file"), b"changed").unwrap();
    std::fs::write(root.join("other"), b"added").unwrap();
    // Another process, after a trial of it.
    let flash = flash(&device);
    flash.prove("b", "job").unwrap();
    flash.activate("b", "job").unwrap();
    assert_eq!(std::fs::read(root.join("file")).unwrap(), b"signed");
    assert!(!root.join("other").exists());
}

#[test]
fn nothing_in_a_tar_leaves_the_tree() {
    let bad = [
        Tar::new().add(Regular, "../out", "", 0o644, b"x"),
        Tar::new().add(Regular, "/out", "", 0o644, b"x"),
        Tar::new().add(Regular, "a/../../out", "", 0o644, b"x"),
        Tar::new().add(Symlink, "a", "../out", 0o777, b""),
        Tar::new().add(Symlink, "a", "/etc/passwd", 0o777, b""),
        Tar::new().add(Symlink, "a/b", "../../out", 0o777, b""),
        Tar::new().add(Link, "a", "../slot", 0o644, b""),
        Tar::new().add(Link, "a", "/etc/passwd", 0o644, b""),
        Tar::new().add(Block, "a", "", 0o644, b""),
        Tar::new().add(EntryType::Fifo, "a", "", 0o644, b""),
        Tar::new().add(EntryType::GNUSparse, "a", "", 0o644, b""),
        Tar::new()
            .add(Regular, &"d/".repeat(49), "", 0o644, b"")
            .add(Regular, "x", "", 0o644, b"")
            .add(Symlink, "x", "twice", 0o777, b""),
    ];
    for (number, tar) in bad.into_iter().enumerate() {
        let device = Device::new();
        let flash = flash(&device);
        let refused = tar.stage(&flash);
        assert!(matches!(refused, Err(FlashError::Io { .. })), "{number}: {refused:?}");
        assert!(matches!(flash.activate("b", "job"), Err(FlashError::NotSealed(_))), "{number}");
        assert!(!device.0.path().join("root-b").exists(), "{number}");
        assert!(!device.0.path().join("out").exists(), "{number}");
    }
}

#[test]
fn an_image_that_is_no_tar_is_refused() {
    let device = Device::new();
    let flash = flash(&device);
    let (bytes, digest) = image(1, 100_000);
    let mut staging = stage(&flash, "b", &digest, "job").unwrap();
    staging.append(&bytes).unwrap();
    let Err(FlashError::Io { action, .. }) = staging.seal("1") else { panic!() };
    assert!(action.contains("unpack"), "{action}");
}
