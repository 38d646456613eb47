//! A process that is killed, and a disk that fails, at every flush, rename and removal of an install.
//!
//! `strace` kills the process at the k-th such system call, or makes it fail, for every k until there are no more.
//! Afterwards the next process must find exactly one version live, the same in its record and in its answers, and be able
//! to install. Without `strace` (or the right to trace) this says so and stops.

use std::path::Path;
use std::process::{Command, Stdio};

use hotshoed::swap::Installed;

use super::rig::{Rig, Setting, version};

/// The folder in which the traced process installs, in its environment.
const CHILD: &str = "HOTSHOE_TEST_SWAP_CUTS";

/// The calls that change what is on the disk. `strace` counts each of them by itself.
const CALLS: [&str; 3] = ["fsync", "renameat", "unlinkat"];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Not a test of its own: the process that is traced.
#[test]
fn child_that_installs() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    block_on(async {
        let rig = Rig::over(folder, Setting::default()).await;
        let result = rig.install(&version("1.1.0")).await;
        let (_, payload) = rig.ask().await;
        let (live, answers) = (rig.summary().version.unwrap().to_string(), payload["version"].clone());
        assert_eq!(answers, live, "what answers is what is told");
        match result {
            Ok(installed) => assert!(matches!(installed, Installed::Live(_)) && live == "1.1.0"),
            Err(error) => assert!(error.code() == "disk" && live == "1.0.0", "{error}"),
        }
        std::fs::write(folder.join("acknowledged"), live).unwrap();
    });
}

/// A folder with version 1.0.0 installed.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let rig = Rig::over(folder.path(), Setting::default()).await;
        rig.install(&version("1.0.0")).await.unwrap();
        // Compiled before, so that the traced process need not.
        let other = Rig::new().await;
        other.install(&version("1.1.0")).await.unwrap();
    });
    folder
}

fn copy(from: &Path, to: &Path) {
    for name in ["swap", "shelf"] {
        std::fs::create_dir_all(to.join(name)).unwrap();
        for entry in std::fs::read_dir(from.join(name)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(name).join(entry.file_name())).unwrap();
        }
    }
}

/// Installs with one fault at the k-th such call; `None` if strace cannot be had, else whether the fault was reached.
fn with_fault(prepared: &Path, call: &str, fault: &str, k: u32) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    copy(prepared, folder.path());
    let log = folder.path().join("strace");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={}", CALLS.join(","))])
        .args(["-e", &format!("inject={call}:{fault}:when={k}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "cuts::child_that_installs", "--test-threads=1", "--nocapture"])
        .env(CHILD, folder.path())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let log = std::fs::read_to_string(log).unwrap_or_default();
    if log.is_empty() {
        return None;
    }
    let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged")).unwrap_or_default();
    let reached = log.contains("(INJECTED)") || log.contains("killed by SIGKILL");
    let told = format!("{fault} at {call} {k}\n{}\n{log}", String::from_utf8_lossy(&output.stderr));
    if !reached {
        assert_eq!(acknowledged, "1.1.0", "without a fault it must work: {told}");
    }
    block_on(async {
        let rig = Rig::over(folder.path(), Setting::default()).await;
        assert_eq!(rig.plugins.list().len(), 1, "{told}");
        let live = rig.summary().version.unwrap().to_string();
        assert!(["1.0.0", "1.1.0"].contains(&live.as_str()), "{live}: {told}");
        assert!(acknowledged != "1.1.0" || live == "1.1.0", "acknowledged and lost: {told}");
        rig.assert_live(&live).await;
        rig.install(&version("1.1.0")).await.unwrap();
        rig.assert_live("1.1.0").await;
    });
    Some(reached)
}

fn at_every_call(fault: &str) {
    let prepared = prepared();
    let mut reached = Vec::new();
    for call in CALLS {
        let mut k = 1;
        loop {
            match with_fault(prepared.path(), call, fault, k) {
                None => {
                    eprintln!("SKIPPED: {fault} at every call needs strace and the right to trace");
                    return;
                }
                Some(true) => k += 1,
                Some(false) => break,
            }
        }
        reached.push((call, k - 1));
    }
    eprintln!("{fault}: {reached:?}");
    for ((call, count), least) in reached.iter().zip([4, 2, 0]) {
        assert!(*count >= least, "only {count} of {call} were reached: does an install still use it?");
    }
}

#[test]
fn killed_at_every_call() {
    at_every_call("signal=SIGKILL");
}

#[test]
fn an_input_output_error_at_every_call() {
    at_every_call("error=EIO");
}
