//! The memories of real boot loaders, beside the real tools that read and write them.
//!
//! `fw_printenv` and `fw_setenv` (Debian's libubootenv-tool), `grub-editenv` (grub-common). Where a tool is missing its
//! test says so and stops. systemd-boot's counters are read by nothing but systemd-boot and `bootctl`, which asks for
//! EFI variables: its tests follow the specification's rules over a directory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod grub;
mod systemd_boot;
mod u_boot;

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{digest::Algorithm, policy::Unsigned};
use hotshoed::{
    artifact::hash::Hasher,
    disk::Folder,
    flash::{Flash, FlashSettings, SlotConfig, SlotInfo, control::BootControl},
};

fn folder(path: &Path) -> Arc<dyn Folder> {
    Arc::new(Dir::open_ambient_dir(path, ambient_authority()).unwrap())
}

/// A process that was booted from this slot.
fn flash(path: &Path, boot: Box<dyn BootControl>, running: Option<&str>) -> Flash {
    let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: 4096 };
    let folder = folder(path);
    let slots = FlashSettings::files(&folder, vec![slot("a"), slot("b")]);
    let settings = FlashSettings { boot, running: running.map(str::to_owned), ..slots };
    Flash::with(folder, settings).unwrap()
}

/// Seals an image in a slot and arms it.
fn arm(flash: &Flash, slot: &str) {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let mut staging = flash.stage(slot, &hasher.finish(), "job", Unsigned::Digest).unwrap();
    if staging.written() == 0 {
        staging.append(b"image").unwrap();
    }
    staging.seal("2").unwrap();
    flash.activate(slot, "job").unwrap();
}

fn info(flash: &Flash, slot: &str) -> SlotInfo {
    flash.slots().unwrap().into_iter().find(|info| info.name == slot).unwrap()
}

/// Runs a tool in a directory. `None` where there is no such tool.
fn tool(path: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).current_dir(path).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// What it wrote, where it went well.
fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines `name=value` of our three variables.
fn ours(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with("hotshoe_")).collect();
    lines.retain(|line| !line.ends_with('=') && !line.starts_with("hotshoe_filler="));
    lines.sort_unstable();
    lines
}
