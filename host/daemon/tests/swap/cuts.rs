//! A process that is killed, and a disk that fails, at every flush, rename and removal of an install.
//!
//! `strace` kills the process at the k-th such system call, or makes it fail, for every k until there are no more.
//! Afterwards the next process must find exactly one version live, the same in its record and in its answers, and be able
//! to install. Without `strace` (or the right to trace) this says so and stops.

use std::path::Path;

use hotshoed::swap::Installed;

use super::rig::{Rig, Setting, version};
use super::strace::{self, Fault, Injection};

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

/// The same on one thread: its calls have one order then, and `strace` counts them all.
fn block_on_one<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Not a test of its own: the process that is traced.
#[test]
fn child_that_installs() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    block_on_one(async {
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

/// Installs with a fault; whether it was reached.
fn with_fault(prepared: &Path, injection: &Injection) -> bool {
    let folder = tempfile::tempdir().unwrap();
    copy(prepared, folder.path());
    let trace = strace::run(injection, "cuts::child_that_installs", CHILD, folder.path());
    let acknowledged = std::fs::read_to_string(folder.path().join("acknowledged")).unwrap_or_default();
    let told = format!("{injection:?}\n{}\n{}", trace.said, trace.log);
    if !trace.reached() {
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
    trace.reached()
}

fn at_every_call(fault: Fault) {
    if !strace::can_trace() {
        return;
    }
    let prepared = prepared();
    let reached = strace::at_every_call(&CALLS, fault, |injection| with_fault(prepared.path(), injection));
    for ((call, count), least) in reached.iter().zip([4, 2, 0]) {
        assert!(*count >= least, "only {count} of {call} were reached: does an install still use it?");
    }
}

#[test]
fn killed_at_every_call() {
    at_every_call(Fault::Kill);
}

#[test]
fn an_input_output_error_at_every_call() {
    at_every_call(Fault::Io);
}
