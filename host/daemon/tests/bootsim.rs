//! The boot loader and init simulation as a process: restarts, power cuts, a command that dies, and trials.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{digest::Algorithm, policy::Unsigned};
use hotshoed::{
    artifact::hash::Hasher,
    flash::{Flash, SlotConfig},
};
use rustix::process::{Pid, Signal, kill_process};

/// Says who it is, and how it ends if it may.
const COMMAND: &str = r#"trap 'echo ended; exit 0' TERM
echo "up $$ $(cat "$0")"
while :; do sleep 1 & wait $!; done"#;

struct Simulation {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

/// A line of the command: its process id and boot id.
struct Up {
    pid: i32,
    boot_id: String,
}

impl Simulation {
    fn start(folder: tempfile::TempDir) -> Self {
        let at = |name: &str| folder.path().join(name);
        let mut process = Command::new(env!("CARGO_BIN_EXE_hotshoe-bootsim"))
            .arg("run")
            .args(["--flash".as_ref(), at("flash").as_os_str()])
            .args(["--boot-id".as_ref(), at("boot-id").as_os_str()])
            .args(["--pid".as_ref(), at("pid").as_os_str()])
            .args(["--", "sh", "-c", COMMAND])
            .arg(at("boot-id"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, folder }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn up(&mut self) -> Up {
        let line = self.line();
        let words: Vec<_> = line.split(' ').collect();
        let ["up", pid, boot_id] = words[..] else { panic!("{line}") };
        assert_eq!(boot_id.len(), 36, "as the kernel writes them");
        Up { pid: pid.parse().unwrap(), boot_id: boot_id.to_owned() }
    }

    fn tell(&self, wish: &str) {
        let pid = self.folder.path().join("pid");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoe-bootsim"));
        assert!(command.arg(wish).arg("--pid").arg(pid).status().unwrap().success());
    }

    fn flash(&self) -> Flash {
        flash(self.folder.path())
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert_eq!(self.line(), "ended", "SIGTERM is passed on");
        assert!(self.process.wait().unwrap().success());
        assert!(!self.folder.path().join("pid").exists());
    }
}

fn flash(folder: &Path) -> Flash {
    let path = folder.join("flash");
    std::fs::create_dir_all(&path).unwrap();
    let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: 4096 };
    Flash::open(
        Arc::new(Dir::open_ambient_dir(path, ambient_authority()).unwrap()),
        vec![slot("a"), slot("b")],
    )
    .unwrap()
}

fn armed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"image");
    let flash = flash(folder.path());
    let mut staging = flash.stage("b", &hasher.finish(), "job", Unsigned::Digest).unwrap();
    staging.append(b"image").unwrap();
    staging.seal("2").unwrap();
    flash.activate("b", "job").unwrap();
    folder
}

#[test]
fn a_restart_is_orderly_and_a_power_cut_is_not() {
    let mut simulation = Simulation::start(tempfile::tempdir().unwrap());
    let first = simulation.up();
    simulation.tell("restart");
    assert_eq!(simulation.line(), "ended");
    let second = simulation.up();
    simulation.tell("power-cut");
    let third = simulation.up();
    assert!(first.boot_id != second.boot_id && second.boot_id != third.boot_id);
    simulation.end();
}

#[test]
fn a_command_that_dies_is_started_again_without_a_boot() {
    let mut simulation = Simulation::start(armed());
    let mut before = simulation.up();
    assert!(simulation.flash().boot_expected("b"));
    for _ in 0..2 {
        kill_process(Pid::from_raw(before.pid).unwrap(), Signal::KILL).unwrap();
        let after = simulation.up();
        assert_eq!(after.boot_id, before.boot_id, "the same boot");
        assert_ne!(after.pid, before.pid);
        assert!(simulation.flash().boot_expected("b"), "no try was spent");
        before = after;
    }
    simulation.end();
}

#[test]
fn a_trial_boots_once_and_falls_back_unless_it_is_confirmed() {
    let mut simulation = Simulation::start(armed());
    simulation.up();
    assert!(simulation.flash().boot_expected("b"));
    simulation.tell("power-cut");
    simulation.up();
    assert!(simulation.flash().boot_expected("a"), "nobody confirmed");
    simulation.flash().activate("b", "job").unwrap();
    simulation.tell("restart");
    assert_eq!(simulation.line(), "ended");
    simulation.up();
    simulation.flash().confirm().unwrap();
    simulation.tell("power-cut");
    simulation.up();
    assert!(simulation.flash().boot_expected("b"));
    simulation.end();
}

#[test]
fn without_a_running_simulation_there_is_nothing_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    for content in [None, Some("rubbish"), Some("0"), Some("-1")] {
        if let Some(content) = content {
            std::fs::write(folder.path().join("pid"), content).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotshoe-bootsim"));
        let output = command.arg("restart").arg("--pid").arg(folder.path().join("pid")).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("process id"), "{output:?}");
    }
}
