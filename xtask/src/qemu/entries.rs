//! systemd-boot itself, on the firmware's side of the entries: does it prefer, count and fall back as the host reads it?
//!
//! An EFI partition with one entry a slot. The entries are renamed as the device's own code says, QEMU's firmware boots
//! systemd-boot, the kernel says which slot it was, and the power is cut: whatever was counted was counted before.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use hotshoe_core::slot::{
    BootRecord, Event,
    loader::{EntryName, from_entries, renames},
};

use super::{PATIENCE, machine::Machine};
use crate::tools::{capture, require, run};

const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const ENTRIES: &str = "::/loader/entries";

/// Goes through the lives of two entries; returns how often it has booted.
pub(super) fn check(folder: &Path, kernel: &Path, initramfs: &Path) -> Result<u32> {
    require("mcopy", "mtools")?;
    require("mkfs.vfat", "dosfstools")?;
    let mut device = Device::make(folder, kernel, initramfs)?;
    let mut running = device.boots("a")?;
    for (slot, other) in [("b", "a"), ("a", "b")] {
        // Armed, tried, not confirmed.
        device.apply(&running, Event::Activate(slot))?;
        let trial = device.boots(slot)?;
        ensure!(trial.on_trial(), "the boot was not counted: {:?}", device.entries()?);
        running = device.boots(other)?;
        ensure!(running.trial.is_none(), "the trial has not lapsed: {:?}", device.entries()?);
        // Given up while it runs.
        device.apply(&running, Event::Activate(slot))?;
        let trial = device.boots(slot)?;
        device.apply(&trial, Event::Revert)?;
        running = device.boots(other)?;
        // Confirmed.
        device.apply(&running, Event::Activate(slot))?;
        let trial = device.boots(slot)?;
        device.apply(&trial, Event::Confirm)?;
        running = device.boots(slot)?;
        ensure!(running.good == slot, "{slot} is not good: {:?}", device.entries()?);
    }
    Ok(device.boots)
}

struct Device {
    esp: PathBuf,
    variables: PathBuf,
    boots: u32,
}

impl Device {
    fn make(folder: &Path, kernel: &Path, initramfs: &Path) -> Result<Self> {
        let (esp, variables) = (folder.join("esp.img"), folder.join("variables.fd"));
        fs::copy(VARIABLES, &variables).context("apt-get install ovmf")?;
        File::create(&esp)?.set_len(128 * 1024 * 1024)?;
        run(Command::new("mkfs.vfat").args(["-F", "32"]).arg(&esp).stdout(Stdio::null()))?;
        let device = Self { esp, variables, boots: 0 };
        device.mtools("mmd", &["::/EFI", "::/EFI/BOOT", "::/loader", ENTRIES])?;
        ensure!(Path::new(LOADER).exists(), "{LOADER} is missing: apt-get install systemd-boot-efi");
        device.put(Path::new(LOADER), "::/EFI/BOOT/BOOTX64.EFI")?;
        device.put(kernel, "::/vmlinuz")?;
        device.put(initramfs, "::/initrd.img")?;
        let text = |name: &str, text: &str| -> Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, text)?;
            Ok(file)
        };
        device.put(&text("loader.conf", "timeout 0\ndefault hotshoe-*\n")?, "::/loader/loader.conf")?;
        for (slot, name) in [("a", "hotshoe-2-a.conf"), ("b", "hotshoe-1-b+0.conf")] {
            let entry = format!(
                "title {slot}\nlinux /vmlinuz\ninitrd /initrd.img\noptions hotshoe.slot={slot} console=ttyS0 loglevel=7\n"
            );
            device.put(&text(name, &entry)?, &format!("{ENTRIES}/{name}"))?;
        }
        Ok(device)
    }

    /// Boots and cuts the power; it must have been this slot. What the entries say then.
    fn boots(&mut self, expected: &str) -> Result<BootRecord> {
        self.boots += 1;
        let drives = [
            ("if=pflash,readonly=on", Path::new(FIRMWARE)),
            ("if=pflash", &self.variables),
            ("if=virtio", &self.esp),
        ];
        let mut machine = Machine::start(&drives)?;
        let line = machine.until("hotshoe.slot=", PATIENCE)?;
        drop(machine);
        let names: Vec<String> = self.entries()?.iter().map(EntryName::file).collect();
        ensure!(
            line.contains(&format!("hotshoe.slot={expected}")),
            "{expected} should boot: {line}; {names:?}"
        );
        println!("    systemd-boot booted {expected}: {}", names.join(" "));
        self.record(expected)
    }

    fn record(&self, running: &str) -> Result<BootRecord> {
        let record = from_entries(&self.entries()?).context("no entry is without a counter")?;
        Ok(record.with_running(running))
    }

    fn apply(&self, record: &BootRecord, event: Event<'_>) -> Result<()> {
        let next = record.after(event)?;
        let steps = renames(&self.entries()?, &next).context("a slot has no entry")?;
        for (from, to) in steps {
            self.mtools("mren", &[&format!("{ENTRIES}/{from}"), &format!("{ENTRIES}/{to}")])?;
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<EntryName>> {
        let listed = capture(Command::new("mdir").arg("-b").arg("-i").arg(&self.esp).arg(ENTRIES))?;
        let names = listed.lines().filter_map(|line| EntryName::parse(line.rsplit('/').next()?.trim()));
        Ok(names.collect())
    }

    fn put(&self, file: &Path, place: &str) -> Result<()> {
        run(Command::new("mcopy").arg("-i").arg(&self.esp).arg(file).arg(place))
    }

    fn mtools(&self, program: &str, arguments: &[&str]) -> Result<()> {
        run(Command::new(program).arg("-i").arg(&self.esp).args(arguments))
    }
}
