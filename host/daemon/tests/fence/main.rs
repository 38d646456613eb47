//! The sandbox is broken and native code runs in the host's place: what can it do?
//!
//! This program stands in for the host. It reads a real configuration, raises the fence by it exactly as `main.rs` does,
//! and then tries what an attacker would ([`attacks`]), each attack in a process of its own. The same list runs without
//! the fence, where most of it must succeed: what never works proves nothing. And what the host needs for its work
//! ([`work`]) must go on behind the fence.
//!
//! As root everything runs twice, the second time as nobody.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod calls;
mod place;
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use hotshoed::config::{Config, FenceMode, Surroundings};
use hotshoed::fence::{Plan, raise};
use place::Place;

/// Set for a process that is to try something, to its name.
const TRY: &str = "HOTSHOE_TEST_FENCE_TRY";
/// Set where the fence is to stand.
const FENCED: &str = "HOTSHOE_TEST_FENCE";
/// To try nothing, and to say whether the kernel has all parts of the fence.
const WHOLE: &str = "the whole fence";
/// How a process ends that was not let through.
const DENIED: i32 = 33;

/// Not a test of its own: the process that is in the host's place, in the directory that it was started in.
#[test]
fn native_code_in_the_hosts_place() {
    let Ok(name) = std::env::var(TRY) else { return };
    let surroundings = Surroundings { connection_string: None, program_directory: None };
    let config = Config::load(Path::new("device.toml"), &surroundings).unwrap();
    let fenced = std::env::var_os(FENCED).is_some();
    let mode = if fenced { FenceMode::BestEffort } else { FenceMode::Off };
    let fence = raise(mode, &Plan::of(&config)).unwrap();
    if fenced {
        assert!(fence.is_up, "{:?}", fence.missing);
    }
    if name == WHOLE {
        println!("\nno: {}", fence.missing.join("; "));
        std::process::exit(if fence.missing.is_empty() { 0 } else { DENIED });
    }
    let all = attacks::ALL.iter().chain(work::ALL);
    let (_, attempt) = all.copied().find(|(known, _)| *known == name).unwrap();
    match attempt() {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            println!("\nno: {error}");
            std::process::exit(DENIED);
        }
    }
}

/// Tries one thing: whether it succeeded, and what was said where not.
fn attempt(place: &Place, name: &str, fenced: bool) -> Result<(), String> {
    place.restore();
    let victim = place.victim();
    let mut command = Command::new(place.program());
    command.args(["--exact", "native_code_in_the_hosts_place", "--test-threads=1", "--nocapture"]);
    command.env(TRY, name).current_dir(place.path(""));
    place.tell(&mut command, &victim);
    if fenced {
        command.env(FENCED, "1");
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(DENIED) => Err(said.lines().find_map(|line| line.strip_prefix("no: ")).unwrap_or("").to_owned()),
        _ => panic!("{name}: {}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

fn try_all(
    place: &Place,
    names: &[&'static str],
    fenced: bool,
) -> BTreeMap<&'static str, Result<(), String>> {
    names.iter().map(|name| (*name, attempt(place, name, fenced))).collect()
}

fn names(list: &[(&'static str, attacks::Attempt)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

/// Says so where it has not.
fn kernel_is_whole(place: &Place) -> bool {
    let whole = attempt(place, WHOLE, true);
    if let Err(missing) = &whole {
        eprintln!("SKIPPED: this kernel does not have the whole fence: {missing}");
    }
    whole.is_ok()
}

/// Both directions, as whoever owns the place. How many attacks succeed without the fence comes back.
fn siege(place: &Place, who: &str) -> usize {
    let attacks = names(attacks::ALL);
    let without = try_all(place, &attacks, false);
    let with = try_all(place, &attacks, true);
    let free = without.values().filter(|outcome| outcome.is_ok()).count();
    eprintln!("as {who}: {} attacks, {free} succeed without the fence", attacks.len());
    for name in &attacks {
        let told = |outcome: &Result<(), String>| outcome.clone().err().unwrap_or_else(|| "SUCCEEDS".into());
        eprintln!("  {name}: {} | behind the fence: {}", told(&without[name]), told(&with[name]));
    }
    let broken: Vec<_> = attacks.iter().filter(|name| with[*name].is_ok()).collect();
    assert!(broken.is_empty(), "as {who}: {broken:?} succeed behind the fence");
    for (name, outcome) in try_all(place, &names(work::ALL), true) {
        assert_eq!(outcome, Ok(()), "as {who}: the host needs {name}");
    }
    free
}

#[test]
fn nothing_harmful_succeeds_behind_the_fence_and_the_hosts_work_does() {
    let place = Place::new();
    if !kernel_is_whole(&place) {
        return;
    }
    let root = rustix::process::geteuid().is_root();
    let free = siege(&place, if root { "root" } else { "this user" });
    let least = if root { 40 } else { 10 };
    assert!(free >= least, "only {free} of the attacks work at all: they prove nothing");
}

#[test]
fn nor_as_nobody() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: becoming nobody takes root");
        return;
    }
    let place = Place::of_nobody();
    if !kernel_is_whole(&place) {
        return;
    }
    let free = siege(&place, "nobody");
    assert!(free >= 10, "only {free} of the attacks work at all: they prove nothing");
}
