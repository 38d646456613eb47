//! Faults at system calls, by `strace`: the k-th call of a name kills the process, or fails with an error.
//!
//! `strace` counts calls for each thread and each name by itself. A process that does its work in one thread has
//! therefore one order of calls, and each of them can be met: by [`run`] from its start, or by [`attach`] from a moment
//! that the test chooses.

// Each test program uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

/// What happens at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The process is killed before the call is made.
    Kill,
    /// The call is not made and fails: an input/output error.
    Io,
    /// The call is not made and fails: no space left.
    Full,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Kill, Fault::Io, Fault::Full];

    fn injection(self) -> &'static str {
        match self {
            Fault::Kill => "signal=SIGKILL",
            Fault::Io => "error=EIO",
            Fault::Full => "error=ENOSPC",
        }
    }

    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Io => "EIO",
            Fault::Full => "ENOSPC",
        }
    }

    /// What an error that was passed on says of it: of a kill, where it was another process.
    pub fn said(self) -> &'static str {
        match self {
            Fault::Kill => "SIGKILL",
            Fault::Io => "Input/output error",
            Fault::Full => "No space left on device",
        }
    }
}

/// A fault at one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Injection {
    pub call: String,
    pub fault: Fault,
    /// Which call of that name, from 1.
    pub k: u32,
}

impl Injection {
    fn arguments(&self) -> [String; 4] {
        let Injection { call, fault, k } = self;
        [
            "-e".to_owned(),
            format!("trace={call}"),
            "-e".to_owned(),
            format!("inject={call}:{}:when={k}", fault.injection()),
        ]
    }
}

/// Whether calls can be traced here; says so where they cannot.
pub fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    let can = traced.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("SKIPPED: faults at system calls need strace and the right to trace");
    }
    can
}

/// What was seen of a traced process.
#[derive(Debug)]
pub struct Trace {
    /// The calls, as `strace` writes them.
    pub log: String,
    /// What the process said.
    pub said: String,
}

impl Trace {
    /// Whether the process came to the call with the fault.
    pub fn reached(&self) -> bool {
        self.log.contains("(INJECTED)") || self.log.contains("killed by SIGKILL")
    }
}

/// Runs a test of this program as a process of its own, with a folder in its environment and a fault.
pub fn run(injection: &Injection, test: &str, variable: &str, folder: &Path) -> Trace {
    let log = folder.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).args(injection.arguments());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--test-threads=1", "--nocapture"]);
    let output = command.env(variable, folder).stdin(Stdio::null()).output().unwrap();
    let log = fs::read_to_string(log).unwrap_or_default();
    Trace { log, said: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Meets each call of these names with a fault, until there are no more; how many there were of each. `one` tells
/// whether the fault was reached.
pub fn at_every_call<'a>(
    calls: &[&'a str],
    fault: Fault,
    mut one: impl FnMut(&Injection) -> bool,
) -> Vec<(&'a str, u32)> {
    let mut reached = Vec::new();
    for call in calls {
        let mut k = 1;
        while one(&Injection { call: (*call).to_owned(), fault, k }) {
            k += 1;
        }
        reached.push((*call, k - 1));
    }
    eprintln!("{}: {reached:?}", fault.name());
    reached
}

/// What is to be seen of a process that runs.
#[derive(Clone, Debug)]
pub enum Look {
    /// All calls on files and sockets.
    At,
    /// A fault.
    With(Injection),
}

/// A `strace` beside a process.
pub struct Attached {
    strace: Child,
    log: PathBuf,
}

/// Traces a thread that runs, or with `all` a process with all its threads and children. Nothing is missed that happens
/// after this.
pub async fn attach(thread: i32, all: bool, look: &Look, log: &Path) -> Attached {
    let mut command = tokio::process::Command::new("strace");
    command.args(all.then_some("-f")).args(["-y", "-o"]).arg(log);
    match look {
        Look::At => command.args(["-e", "trace=%file,%desc,%network"]),
        Look::With(injection) => command.args(injection.arguments()),
    };
    command.args(["-p", &thread.to_string()]).stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut strace = command.spawn().unwrap();
    let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap();
    assert!(line.as_deref().is_some_and(|line| line.contains("attached")), "strace: {line:?}");
    // It tells of each thread; nobody is to wait until that is read.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Attached { strace, log: log.to_owned() }
}

impl Attached {
    /// Leaves the process alone, if there still is one; if it has ended or is about to, waits for that first.
    pub async fn end(mut self, over: bool) -> Trace {
        let patience = Duration::from_secs(5);
        let ended = over && timeout(patience, self.strace.wait()).await.is_ok();
        if !ended && let Some(id) = self.strace.id() {
            let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
            let _ = kill_process(pid, Signal::INT);
            // It may wait for ever for a thread that was killed under it.
            if timeout(patience, self.strace.wait()).await.is_err() {
                let _ = self.strace.kill().await;
            }
        }
        Trace { log: fs::read_to_string(&self.log).unwrap_or_default(), said: String::new() }
    }
}
