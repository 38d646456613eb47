//! An update without a network, for a machine that is cut: what `cargo xtask qemu` runs in its guest.
//!
//! `slotctl VERSION`: says what runs, confirms it if it is on trial, and installs the image of the second disk unless it
//! was tried. Slots are two partitions, GRUB boots them. Each step is a line `slotctl: …` on standard output.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    process::Command,
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result};
use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{digest::Digest, policy::Unsigned};
use hotshoed::{
    disk::{Device, Folder},
    flash::{Flash, FlashSettings, GroupConfig, PartConfig, Place, control::Grub},
    state::StateDir,
};

const SLOT: u64 = 48 * 1024 * 1024;
const PIECE: usize = 1024 * 1024;
/// Bytes of the second disk before the image.
const HEAD: u64 = 512;

/// What the second disk holds.
struct Next {
    version: String,
    digest: Digest,
    length: u64,
    disk: File,
}

fn main() -> Result<()> {
    let version = std::env::args().nth(1).context("usage: slotctl VERSION")?;
    let command_line = std::fs::read_to_string("/proc/cmdline")?;
    let running = command_line.split_whitespace().rev().find_map(|word| word.strip_prefix("hotshoe.slot="));
    let running = running.context("the kernel does not say which slot runs")?;
    let flash = open(running)?;
    let trial = flash.on_trial();
    say(&format!("running {version} from {running}{}", if trial { " on trial" } else { "" }))?;
    let sealed = flash.slots()?.into_iter().find(|slot| slot.running).and_then(|slot| slot.version);
    if sealed.as_ref().is_some_and(|sealed| *sealed != version) {
        say(&format!("LIE: {running} was sealed as {sealed:?}"))?;
    }
    if trial {
        pause(500);
        say("confirming")?;
        flash.confirm()?;
        say("confirmed")?;
        pause(500);
    }
    let next = next()?;
    let state = StateDir::new(directory("/data/state")?);
    if next.version == version {
        return rest("idle");
    }
    if state.read::<String>("tried")?.as_ref() == Some(&next.version) {
        return rest(&format!("fell back from {}", next.version));
    }
    install(&flash, if running == "a" { "b" } else { "a" }, &next)?;
    state.write("tried", &next.version)?;
    pause(300);
    say("restarting")?;
    Command::new("/bin/reboot").arg("-f").status()?;
    rest("waiting for the restart")
}

fn open(running: &str) -> Result<Flash> {
    let group = |name: &str, device: &str| -> Result<GroupConfig> {
        let place =
            Place::Device { folder: Arc::new(Device::new(directory("/dev")?)), name: device.to_owned() };
        let part = PartConfig { name: name.to_owned(), size: SLOT, place };
        Ok(GroupConfig { name: name.to_owned(), parts: vec![part] })
    };
    let boot = Grub::new(Arc::new(directory("/boot/boot/grub")?), "grubenv");
    let folder: Arc<dyn Folder> = Arc::new(directory("/data/flash")?);
    let groups = vec![group("a", "vda2")?, group("b", "vda3")?];
    Ok(Flash::with(
        folder,
        FlashSettings { groups, boot: Box::new(boot), running: Some(running.to_owned()) },
    )?)
}

fn next() -> Result<Next> {
    let mut disk = File::open("/dev/vdb").context("there is no second disk")?;
    let mut head = [0; HEAD as usize];
    disk.read_exact(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    let mut words = text.trim_end_matches('\0').split_whitespace();
    let mut word = || words.next().context("the second disk names no image");
    let (version, digest, length) = (word()?.to_owned(), word()?.parse()?, word()?.parse()?);
    Ok(Next { version, digest, length, disk })
}

fn install(flash: &Flash, slot: &str, next: &Next) -> Result<()> {
    let mut staging = flash.stage(slot, &next.digest, "job", Unsigned::Digest)?;
    say(&format!("staging {} into {slot} from {}", next.version, staging.written()))?;
    let mut buffer = vec![0; PIECE];
    while staging.written() < next.length {
        let at = staging.written();
        let wanted = usize::try_from(next.length - at)?.min(PIECE);
        let (piece, _) = buffer.split_at_mut(wanted);
        next.disk.read_exact_at(piece, HEAD + at)?;
        staging.append(piece)?;
        if staging.written() % (8 * PIECE as u64) == 0 {
            say(&format!("staged {}", staging.written()))?;
        }
    }
    staging.seal(&next.version)?;
    say("sealed")?;
    pause(300);
    flash.activate(slot, "job")?;
    say("armed")
}

fn directory(path: &str) -> Result<Dir> {
    std::fs::create_dir_all(path)?;
    Dir::open_ambient_dir(Path::new(path), ambient_authority())
        .with_context(|| format!("could not open {path}"))
}

fn rest(why: &str) -> Result<()> {
    say(why)?;
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// Room for whoever cuts.
fn pause(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds));
}

fn say(what: &str) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "slotctl: {what}")?;
    Ok(out.flush()?)
}
