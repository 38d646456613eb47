//! Slots that are block devices: real ones, over files (loop). Without the right to make them this says so and stops.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{
    digest::{Algorithm, Digest},
    policy::Unsigned,
};
use hotshoed::{
    artifact::hash::Hasher,
    disk::{Device, Folder},
    flash::{Flash, FlashError, FlashSettings, GroupConfig, PartConfig, Place, control::File},
};

const SIZE: u64 = 4 * 1024 * 1024;

/// A device over a file.
struct Loop(PathBuf);

impl Loop {
    fn new(folder: &Path, name: &str) -> Option<Self> {
        let file = folder.join(name);
        std::fs::File::create(&file).unwrap().set_len(SIZE).unwrap();
        let made =
            Command::new("losetup").args(["-f", "--show"]).arg(file).stderr(Stdio::null()).output().ok()?;
        let path = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        (made.status.success() && !path.is_empty()).then(|| Self(path.into()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn flash(folder: &Path, devices: [&Loop; 2], size: u64) -> Result<Flash, FlashError> {
    let dir = |path: &Path| Dir::open_ambient_dir(path, ambient_authority()).unwrap();
    let group = |name: &str, device: &Loop| {
        let parent = Arc::new(Device::new(dir(device.0.parent().unwrap())));
        let file = device.0.file_name().unwrap().to_str().unwrap().to_owned();
        let part =
            PartConfig { name: name.into(), size, place: Place::Device { folder: parent, name: file } };
        GroupConfig { name: name.into(), parts: vec![part] }
    };
    let [a, b] = devices;
    let folder: Arc<dyn Folder> = Arc::new(dir(folder));
    let boot = Box::new(File::new(Arc::clone(&folder)));
    let groups = vec![group("a", a), group("b", b)];
    Flash::with(folder, FlashSettings { groups, boot, running: Some("a".into()) })
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn a_device_is_written_unless_it_is_mounted_or_too_small() {
    let folder = tempfile::tempdir().unwrap();
    let devices = (Loop::new(folder.path(), "a"), Loop::new(folder.path(), "b"));
    let (Some(a), Some(b)) = devices else {
        eprintln!("no loop devices can be made here: not tested");
        return;
    };
    let small = flash(folder.path(), [&a, &b], SIZE + 1);
    let Err(FlashError::Io { text, .. }) = small else { panic!("{small:?}") };
    assert!(text.contains("the device has 4194304 bytes"), "{text}");

    let image: Vec<u8> =
        (0..3_000_123_u32).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    // Somebody has the spare slot mounted.
    let made = Command::new("mke2fs").arg("-q").arg(&b.0).status();
    let directory = folder.path().join("mounted");
    std::fs::create_dir(&directory).unwrap();
    if made.is_ok_and(|status| status.success())
        && Command::new("mount").arg(&b.0).arg(&directory).status().is_ok_and(|status| status.success())
    {
        let mounted = Mounted(directory);
        let before = std::fs::read(&b.0).unwrap();
        let flash = flash(folder.path(), [&a, &b], SIZE).unwrap();
        let refused = flash.stage("b", &digest(&image), "job", Unsigned::Digest);
        let Err(FlashError::Io { text, .. }) = refused else { panic!("{refused:?}") };
        assert!(text.contains("busy"), "{text}");
        assert_eq!(std::fs::read(&b.0).unwrap(), before);
        drop(mounted);
    } else {
        eprintln!("nothing can be mounted here: not tested");
    }

    let flash = flash(folder.path(), [&a, &b], SIZE).unwrap();
    let mut staging = flash.stage("b", &digest(&image), "job", Unsigned::Digest).unwrap();
    staging.append(&image[..1_000_000]).unwrap();
    // Opened anew by the same job while the first still stands.
    let mut staging_again = flash.stage("b", &digest(&image), "job", Unsigned::Digest).unwrap();
    drop(staging);
    let rest = staging_again.written() as usize;
    staging_again.append(&image[rest..]).unwrap();
    // Meanwhile it is nobody else's.
    let other = Command::new("mke2fs").args(["-q", "-F"]).arg(&b.0).stderr(Stdio::null()).status();
    assert!(other.is_ok_and(|status| !status.success()), "the device is claimed");
    staging_again.seal("2").unwrap();
    drop(staging_again);
    flash.activate("b", "job").unwrap();
    assert!(std::fs::read(&b.0).unwrap().starts_with(&image), "byte for byte");
    assert_eq!(std::fs::read(&a.0).unwrap(), vec![0; SIZE as usize], "the running one is untouched");
}
