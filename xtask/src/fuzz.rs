//! The fuzzers at length: `cargo xtask torture --only fuzz` (docs/fuzzing.md).
//!
//! Builds the programs of `fuzz/` with nightly and `cargo-fuzz`, in a target directory of their own, and runs as many at
//! once as there are processors. What they learn is kept in `target/fuzz/corpus` from run to run; what they find is in
//! `target/fuzz/findings`, and any of it is a failure. Without a sanitizer: the project's own code forbids `unsafe` but for
//! one line that is never reached from here, so what is looked for are panics, broken promises, and lost time and memory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    guests,
    tools::{cargo, root, run, target},
};

/// What is run, and for how long.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// How many inputs each fuzzer tries.
    #[arg(long, default_value_t = 2_000_000, value_name = "N")]
    executions: u64,
    /// Only these targets of the fuzzers.
    #[arg(long = "target", value_name = "NAME", value_delimiter = ',')]
    targets: Vec<String>,
    /// Write what the fuzzers learned back to `fuzz/corpus`, as far as it is small.
    #[arg(long)]
    keep_corpus: bool,
}

/// Seconds for one input; no target needs a hundredth of it.
const PATIENCE: u32 = 20;
/// MiB of memory for one fuzzer.
const MEMORY: u32 = 2048;
/// The most that is committed of a target's corpus; `hotshoe_fuzz::corpus` holds the bounds that its test checks.
const FILES: usize = 50;
const BYTES: u64 = 100 * 1024;

/// Builds and runs; fails on any finding.
pub(crate) fn run_fuzzers(arguments: &Arguments) -> Result<()> {
    if !nightly(&["--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
    {
        println!(
            "SKIPPED: the fuzzers: cargo-fuzz or the nightly toolchain is missing (rustup toolchain install nightly; \
             cargo install cargo-fuzz)"
        );
        return Ok(());
    }
    let targets = chosen(&arguments.targets)?;
    guests::build(Some("zoo"))?;
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let mut build = nightly(&["build", "--sanitizer", "none"]);
    if let [one] = targets.as_slice() {
        build.arg(one);
    }
    run(build.env("CARGO_TARGET_DIR", place("")))?;
    let (queue, told) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{:20} {:>12} {:>8} {:>8} {:>7} {:>8}",
        "target", "executions", "a second", "edges", "corpus", "findings"
    );
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some(name) = next else { return };
                    let outcome = fuzz(name, arguments);
                    match &outcome {
                        Ok(outcome) => println!("{}", outcome.line(name)),
                        Err(error) => println!("{name:20} {error:#}"),
                    }
                    if let Ok(mut told) = told.lock() {
                        told.push((name.clone(), outcome));
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_default();
    let mut executions = 0;
    let mut wrong = Vec::new();
    for (name, outcome) in told {
        match outcome {
            Ok(outcome) => {
                executions += outcome.executions;
                wrong.extend(outcome.findings.iter().map(|path| format!("{name}: {}", path.display())));
                let short = outcome.findings.is_empty() && outcome.executions < arguments.executions;
                wrong.extend(short.then(|| format!("{name}: it ended early, see {}", log(&name).display())));
            }
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    println!("{} targets, {executions} executions, {} findings", targets.len(), wrong.len());
    if arguments.keep_corpus {
        targets.iter().try_for_each(|name| keep(name))?;
    }
    ensure!(wrong.is_empty(), "{}\nwhat each said is in {}", wrong.join("\n"), place("logs").display());
    Ok(())
}

/// `cargo fuzz`, by nightly and in the project.
fn nightly(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).args(arguments).current_dir(root());
    // What belongs to the cargo that runs this program.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// A place below `target/fuzz`.
fn place(name: &str) -> PathBuf {
    target().join("fuzz").join(name)
}

fn log(name: &str) -> PathBuf {
    place("logs").join(format!("{name}.log"))
}

/// The targets by the programs that there are.
fn chosen(wanted: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        all.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    all.sort();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    all.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(all)
}

/// What came of one fuzzer.
struct Outcome {
    executions: u64,
    speed: u64,
    edges: u64,
    corpus: usize,
    findings: Vec<PathBuf>,
}

impl Outcome {
    fn line(&self, name: &str) -> String {
        let Outcome { executions, speed, edges, corpus, findings } = self;
        format!("{name:20} {executions:>12} {speed:>8} {edges:>8} {corpus:>7} {:>8}", findings.len())
    }
}

/// The program of a target, ready for more arguments.
fn program(name: &str) -> Command {
    let mut command = Command::new(place("x86_64-unknown-linux-gnu/release").join(name));
    // Compiled code of guests, and the compiler, come from the ordinary build.
    command
        .env("HOTSHOE_AOT", target().join("debug/hotshoe-aot"))
        .env("HOTSHOE_GUESTS", target().join("guests"));
    command
}

fn committed(name: &str) -> impl Iterator<Item = PathBuf> {
    let folders = ["corpus", "regressions"].map(|kind| root().join("fuzz").join(kind).join(name));
    folders.into_iter().filter(|folder| folder.is_dir())
}

fn fuzz(name: &str, arguments: &Arguments) -> Result<Outcome> {
    let (learned, findings) = (place("corpus").join(name), place("findings").join(name));
    for folder in [&learned, &findings, &place("logs")] {
        fs::create_dir_all(folder)?;
    }
    let started = Instant::now();
    let file = fs::File::create(log(name))?;
    let status = program(name)
        .arg(&learned)
        .args(committed(name))
        .arg(format!("-runs={}", arguments.executions))
        .arg(format!("-max_len={}", longest(name)))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args(["-print_final_stats=1", "-use_value_profile=0"])
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .with_context(|| format!("could not start the fuzzer {name}"))?;
    let said = String::from_utf8_lossy(&fs::read(log(name))?).into_owned();
    let number = |label: &str| -> u64 {
        let line = said.lines().rev().find(|line| line.starts_with(label));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let executions = number("stat::number_of_executed_units");
    let edges = said.lines().rev().find_map(|line| line.split_once("cov: "));
    let edges = edges.and_then(|(_, rest)| rest.split(' ').next()).and_then(|text| text.parse().ok());
    let findings = files(&findings)?;
    ensure!(status.success() || !findings.is_empty(), "it ended with {status}, see {}", log(name).display());
    Ok(Outcome {
        executions,
        speed: executions / started.elapsed().as_secs().max(1),
        edges: edges.unwrap_or_default(),
        corpus: files(&learned)?.len(),
        findings,
    })
}

/// The longest input of a target, as its table says.
fn longest(name: &str) -> u64 {
    let table = fs::read_to_string(root().join("host/fuzz/src/targets/mod.rs")).unwrap_or_default();
    let mut entries = table.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(": "));
    entries.find(|(of, _)| *of == name).and_then(|(_, length)| length.parse().ok()).unwrap_or(4096)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

/// Replaces what a fuzzer once learned by what it has learned by now: the fewest inputs that reach the same, without those
/// that people wrote.
fn keep(name: &str) -> Result<()> {
    let (merged, corpus) = (place("merged").join(name), root().join("fuzz/corpus").join(name));
    let _ = fs::remove_dir_all(&merged);
    fs::create_dir_all(&merged)?;
    let all = [place("corpus").join(name)].into_iter().chain(committed(name));
    run(program(name)
        .args(["-set_cover_merge=1", "-verbosity=0"])
        .arg(&merged)
        .args(all)
        .stderr(Stdio::null()))?;
    // A fuzzer names files by their hash, a person by what they are.
    let is_learned = |path: &Path| {
        path.file_name().is_some_and(|name| {
            name.len() == 40 && name.to_string_lossy().bytes().all(|letter| letter.is_ascii_hexdigit())
        })
    };
    let (learned, written): (Vec<PathBuf>, Vec<PathBuf>) =
        files(&corpus)?.into_iter().partition(|path| is_learned(path));
    learned.iter().try_for_each(fs::remove_file)?;
    let (mut count, mut bytes) = (written.len(), 0);
    for path in files(&merged)? {
        let size = fs::metadata(&path)?.len();
        if count < FILES && bytes + size <= BYTES {
            fs::copy(&path, corpus.join(path.file_name().unwrap_or_default()))?;
            (count, bytes) = (count + 1, bytes + size);
        }
    }
    println!("{name}: {count} files in {}", corpus.display());
    Ok(())
}
