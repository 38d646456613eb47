//! A device: its files, its process, and its boot loader.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::flash::{Flash, SlotConfig, SlotInfo, boot::boot};
use hotshoed::state::StateDir;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::child::{CHILD, HOLD, THREAD};
use crate::place::{PATIENCE, SLOT};
use crate::story::Threads;
use crate::support::Hub;

pub(crate) struct Device {
    pub(crate) folder: PathBuf,
    pub(crate) id: String,
    hub: Arc<Hub>,
}

/// The device's process.
pub(crate) struct Process {
    child: Child,
    /// What is to be traced of it.
    pub(crate) thread: i32,
}

impl Device {
    pub(crate) fn new(folder: PathBuf, id: String, hub: Arc<Hub>) -> Device {
        Device { folder, id, hub }
    }

    /// Starts the process; with `hold` it does nothing before [`Process::go`].
    pub(crate) async fn start(&self, threads: Threads, hold: bool) -> Process {
        let _ = fs::remove_file(self.folder.join(THREAD));
        let mut command = match threads {
            Threads::One => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--exact", "child::child_that_is_a_device", "--test-threads=1", "--nocapture"]);
                command.env(CHILD, "1").envs(hold.then_some((HOLD, "1")));
                command
            }
            Threads::Real => {
                let mut command = Command::new("sh");
                let wait = if hold { "read line; " } else { "" };
                let hotshoed = env!("CARGO_BIN_EXE_hotshoed");
                command
                    .arg("-c")
                    .arg(format!("{wait}exec '{hotshoed}' --config device.toml --log-format json"));
                command.env("HOTSHOE_LOG", "hotshoed=debug,info");
                command
            }
        };
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        command.env("SSL_CERT_DIR", "roots").env_remove("SSL_CERT_FILE");
        command.current_dir(&self.folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = command.kill_on_drop(true).spawn().unwrap();
        let mut process = Process { thread: i32::try_from(child.id().unwrap()).unwrap(), child };
        if threads == Threads::One {
            let file = self.folder.join(THREAD);
            while process.ended().is_none() && !file.exists() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            process.thread = fs::read_to_string(file).ok().and_then(|id| id.parse().ok()).unwrap_or(0);
        }
        process
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What it has logged in all its lives.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) async fn reported(&self) -> Value {
        self.hub.reported(&self.id).await
    }

    /// Waits until it has connected and told what it is, so that nothing is left to do but to wait.
    pub(crate) async fn until_reported(&self, process: &mut Process) {
        let waiting = async {
            while !self.reported().await["hotshoe"]["version"].is_string() {
                assert!(process.ended().is_none(), "it does not start: {}", self.log());
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it reports itself");
    }

    /// Where the job of the update stands: the name of its state, and all of it.
    pub(crate) fn job(&self) -> Option<(String, Value)> {
        let entries = fs::read_dir(self.folder.join("state/jobs")).ok()?;
        let mut jobs: Vec<Value> = entries
            .filter_map(|entry| {
                let entry = entry.ok().filter(|entry| !entry.file_name().to_string_lossy().contains('.'))?;
                let text = fs::read_to_string(entry.path()).ok()?;
                serde_json::from_str(text.split_once('\n')?.1).ok()
            })
            .collect();
        jobs.sort_by_key(|job| job["created"].as_u64());
        let job = jobs.pop()?;
        let state = match &job["state"] {
            Value::String(name) => name.clone(),
            state => state.as_object().and_then(|state| state.keys().next()).cloned().unwrap_or_default(),
        };
        Some((state, job))
    }

    /// Whether it has asked for a restart of the device.
    pub(crate) fn wants_restart(&self) -> bool {
        self.folder.join("restart").exists()
    }

    /// The boot loader.
    pub(crate) fn boot(&self) -> Result<(), String> {
        let _ = fs::remove_file(self.folder.join("restart"));
        let file = self.folder.join("boot-id");
        let last = fs::read_to_string(&file).unwrap();
        let number: u64 = last.trim().rsplit('-').next().unwrap().parse().unwrap();
        fs::write(file, format!("00000000-0000-4000-8000-{:012}\n", number + 1)).unwrap();
        boot(Arc::new(self.flash_folder())).map(drop).map_err(|error| format!("it does not boot: {error}"))
    }

    fn flash_folder(&self) -> Dir {
        Dir::open_ambient_dir(self.folder.join("flash"), ambient_authority()).unwrap()
    }

    /// The slots `a` and `b` as a process finds them that starts now.
    pub(crate) fn slots(&self) -> Result<(SlotInfo, SlotInfo), String> {
        let slot = |name: &str| SlotConfig {
            name: name.to_owned(),
            file: format!("slot-{name}.img"),
            size: SLOT as u64,
        };
        let flash = Flash::open(Arc::new(self.flash_folder()), vec![slot("a"), slot("b")]);
        let slots = flash.and_then(|flash| flash.slots()).map_err(|error| format!("the slots: {error}"))?;
        let [a, b] = <[SlotInfo; 2]>::try_from(slots).map_err(|slots| format!("{slots:?}"))?;
        Ok((a, b))
    }

    pub(crate) fn content(&self, slot: &str) -> Vec<u8> {
        fs::read(self.folder.join(format!("flash/slot-{slot}.img"))).unwrap_or_default()
    }

    /// How many chunks of the image in slot `b` are durable.
    pub(crate) fn durable_chunks(&self) -> u64 {
        let Ok(records) = StateDir::new(self.flash_folder()).subdirectory("slots") else { return 0 };
        let Ok(Some(record)) = records.read::<Value>("b") else { return 0 };
        let runs = record["chunks"].as_array().cloned().unwrap_or_default();
        runs.iter().map(|run| run[1].as_u64().unwrap() - run[0].as_u64().unwrap()).sum()
    }
}

impl Process {
    /// Lets a process go on that is held.
    pub(crate) async fn go(&mut self) {
        let _ = self.child.stdin.take().unwrap().write_all(b"go\n").await;
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it as init does: in order, and after ten seconds not. Whether it ended in order.
    pub(crate) async fn stop(&mut self) -> bool {
        if let Some(id) = self.child.id() {
            let _ = kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::TERM);
        }
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await.unwrap();
        }
        ended.is_ok()
    }
}

/// The end of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let last = all.iter().skip(all.len().saturating_sub(lines));
    last.map(|line| format!("    {}\n", line.chars().take(600).collect::<String>())).collect()
}
