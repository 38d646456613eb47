//! A disk that fails and a process that is killed, at every flush, rename and write of an install; where
//! `HOTSHOE_TORTURE` is set, at every other call on a file too.
//!
//! `strace` makes the k-th such system call fail or kills the process there, for every k until there are no more.
//! Afterwards another process must find what was acknowledged, and be able to do it all again. Without `strace` (or
//! the right to trace) this says so and stops.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{
    digest::{Algorithm, Digest},
    policy::Unsigned,
};
use hotshoed::{
    artifact::{ArtifactStore, Key, Origin, Vouched, hash::Hasher},
    flash::{Content, Flash, SlotConfig, boot::boot},
    state::StateDir,
};

/// The directory in which the traced process installs, in its environment.
const CHILD: &str = "HOTSHOE_TEST_FAULTS";

const IMAGE: &[u8] = &[42; 100_000];

fn dir(folder: &Path, name: &str) -> Dir {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

fn digest() -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(IMAGE);
    hasher.finish()
}

fn flash(folder: &Path) -> Result<Flash, String> {
    let slot = |name: &str| SlotConfig { name: name.into(), file: name.into(), size: 200_000 };
    Flash::open(Arc::new(dir(folder, "flash")), vec![slot("a"), slot("b")]).map_err(|error| error.to_string())
}

/// All that an update writes, from the job's record to the confirmed boot. Tells each step that was acknowledged.
fn install(folder: &Path, done: &mut dyn FnMut(&'static str)) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let state = StateDir::new(dir(folder, "state"));
    state.write("job", &"accepted").map_err(|error| text(&error))?;
    done("accepted");
    let store = ArtifactStore::open(dir(folder, "artifacts"), 1 << 20).map_err(|error| text(&error))?;
    let artifact = match store.find(&digest()).map_err(|error| text(&error))? {
        Some(artifact) => artifact,
        None => {
            let partial = store.partial(&Key::of_digest(&digest())).map_err(|error| text(&error))?;
            let mut partial = partial.ok_or("busy")?;
            let origin =
                Origin { url: "https://a/".into(), validator: None, total: Some(IMAGE.len() as u64) };
            partial.begin(origin, false).map_err(|error| text(&error))?;
            partial.write(IMAGE).map_err(|error| text(&error))?;
            partial.finish("https://a/", Vouched::Request).map_err(|error| text(&error))?
        }
    };
    done("fetched");
    let flash = flash(folder)?;
    if !flash.boot_expected("b") {
        let mut staging =
            flash.stage("b", &digest(), "job", Unsigned::Digest).map_err(|error| text(&error))?;
        staging.append_artifact(&artifact, &|_, _| {}).map_err(|error| text(&error))?;
        staging.seal("2").map_err(|error| text(&error))?;
        done("sealed");
        flash.activate("b", "job").map_err(|error| text(&error))?;
        done("activated");
        boot(Arc::new(dir(folder, "flash"))).map_err(|error| text(&error))?;
        done("booted");
    }
    flash.confirm().map_err(|error| text(&error))?;
    done("confirmed");
    state.write("job", &"completed").map_err(|error| text(&error))?;
    done("completed");
    Ok(())
}

/// Not a test of its own: the process that is traced.
#[test]
fn child_that_installs() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let progress = Path::new(&folder).join("steps");
    let mut progress = std::fs::OpenOptions::new().create(true).append(true).open(progress).unwrap();
    // What is told stays told, whatever fails afterwards.
    let result =
        install(Path::new(&folder), &mut |step| progress.write_all(format!("{step} ").as_bytes()).unwrap());
    std::fs::write(Path::new(&folder).join("result"), format!("{result:?}")).unwrap();
}

/// What a later process must find after these steps were acknowledged.
fn check(folder: &Path, steps: &str) {
    let told = |step: &str| steps.split(' ').any(|other| other == step);
    let job = StateDir::new(dir(folder, "state")).read::<String>("job").unwrap();
    match job.as_deref() {
        Some("completed") => assert!(told("confirmed")),
        Some("accepted") => assert!(!told("completed")),
        other => assert!(other.is_none() && !told("accepted"), "{other:?}"),
    }
    let store = ArtifactStore::open(dir(folder, "artifacts"), 1 << 20).unwrap();
    let found = store.find(&digest()).unwrap();
    assert!(found.is_some() || !told("fetched"));
    if let Some(artifact) = found {
        assert!(artifact.read(0, IMAGE.len() + 1).unwrap() == IMAGE, "a wrong file in the store");
    }
    let flash = flash(folder).unwrap();
    let slots = flash.slots().unwrap();
    assert!(slots[1].content == Content::Sealed || !told("sealed"));
    assert!(slots[1].trial || slots[1].good || !told("activated"));
    assert!(slots[1].running || !told("booted"));
    assert!(slots[1].good || !told("confirmed"));
    assert!(slots[0].good != slots[1].good, "exactly one slot is good");
    if slots[1].trial || slots[1].running {
        assert!(std::fs::read(folder.join("flash/b")).unwrap().starts_with(IMAGE), "an unproven image boots");
    }
}

/// The calls that change what is on the disk, and how many of each there are at least. `strace` counts each of them by
/// itself.
const CALLS: [(&str, u32); 6] =
    [("fsync", 20), ("fdatasync", 2), ("renameat", 7), ("pwrite64", 4), ("fallocate", 2), ("ftruncate", 2)];

/// The others that a process makes on files, tried where `HOTSHOE_TORTURE` is set: each of them, too.
const OTHERS: [(&str, u32); 7] = [
    ("write", 4),
    ("read", 4),
    ("pread64", 4),
    ("openat", 20),
    ("unlinkat", 0),
    ("mkdirat", 3),
    ("statx", 4),
];

fn calls() -> Vec<(&'static str, u32)> {
    let others = OTHERS.iter().filter(|_| std::env::var_os("HOTSHOE_TORTURE").is_some());
    CALLS.iter().chain(others).copied().collect()
}

/// Installs with one fault at the k-th such call; `None` if strace cannot be had, else whether the fault was reached.
fn with_fault(call: &str, fault: &str, k: u32) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("strace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{fault}:when={k}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_installs", "--test-threads=1"])
        .env(CHILD, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?;
    let log = std::fs::read_to_string(log).unwrap_or_default();
    if log.is_empty() {
        return None;
    }
    let steps = std::fs::read_to_string(folder.path().join("steps")).unwrap_or_default();
    let result = std::fs::read_to_string(folder.path().join("result")).unwrap_or_default();
    if !log.contains("(INJECTED)") && !log.contains("killed by SIGKILL") {
        assert_eq!(result, "Ok(())", "without a fault it must work");
        return Some(false);
    }
    let outcome = std::panic::catch_unwind(|| {
        check(folder.path(), &steps);
        let mut again = Vec::new();
        install(folder.path(), &mut |step| again.push(step)).unwrap();
        assert_eq!(again.last(), Some(&"completed"));
        check(folder.path(), &again.join(" "));
    });
    assert!(outcome.is_ok(), "{fault} at {call} {k}, acknowledged: {steps:?}, result: {result}\n{log}");
    Some(true)
}

fn at_every_call(fault: &str) {
    let mut reached = Vec::new();
    for (call, least) in calls() {
        let mut k = 1;
        loop {
            match with_fault(call, fault, k) {
                None => {
                    eprintln!("SKIPPED: {fault} at every call needs strace and the right to trace");
                    return;
                }
                Some(true) => k += 1,
                Some(false) => break,
            }
        }
        assert!(k > least, "only {} of {call} were reached: does an install still use it?", k - 1);
        reached.push((call, k - 1));
    }
    eprintln!("{fault}: {reached:?}");
}

#[test]
fn killed_at_every_call() {
    at_every_call("signal=SIGKILL");
}

#[test]
fn an_input_output_error_at_every_call() {
    at_every_call("error=EIO");
}

#[test]
fn a_full_disk_at_every_call() {
    at_every_call("error=ENOSPC");
}
