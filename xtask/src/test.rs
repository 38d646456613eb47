//! `cargo xtask test`: everything that must hold before a change lands, in the order that fails soonest.
//!
//! The same on a developer's machine and in continuous integration. The official Azure libraries are part of it: they are
//! installed into `target/azure-sdk` from `host/localhub/tests/sdk/requirements.txt`.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    guests, layers,
    tools::{cargo, require, root, run, target},
    wit,
};

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the official Azure libraries, which need Python 3 and its package index.
    #[arg(long)]
    no_azure_sdk: bool,
}

/// Runs all checks; the first that fails ends it.
pub(crate) fn run_tests(arguments: &Arguments) -> Result<()> {
    let mut steps = Steps::default();
    steps.step("formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("the contract", wit::run)?;
    steps.step("layers", layers::check)?;
    steps.step("guests", || guests::build(None).map(|_| ()))?;
    steps.step("programs", || run(cargo().args(["build", "--workspace", "--bins"])))?;
    steps.step("lints", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    steps.step("tests", || run(cargo().args(["test", "--workspace", "--no-fail-fast"])))?;
    if arguments.no_azure_sdk {
        println!("skipped: the official Azure libraries (--no-azure-sdk)");
    } else {
        steps.step("the official Azure libraries", azure_sdk)?;
    }
    steps.print();
    Ok(())
}

/// Runs every `test_*.py` beside the requirements with the official libraries.
fn azure_sdk() -> Result<()> {
    let folder = root().join("host/localhub/tests/sdk");
    let python = environment(&folder.join("requirements.txt"))?;
    let mut scripts: Vec<_> = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("test_") && name.ends_with(".py")
        })
        .collect();
    scripts.sort();
    anyhow::ensure!(!scripts.is_empty(), "no test_*.py in {}", folder.display());
    for script in scripts {
        println!("-- {}", script.display());
        run(Command::new(&python)
            .arg(&script)
            .current_dir(root())
            .env("HOTSHOE_PROGRAMS", target().join("debug"))
            .env("HOTSHOE_GUESTS", target().join("guests")))?;
    }
    Ok(())
}

/// A Python environment with the requirements installed; made anew when they change.
fn environment(requirements: &std::path::Path) -> Result<PathBuf> {
    require("python3", "python3 python3-venv")?;
    let folder = target().join("azure-sdk");
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");
    let wanted =
        fs::read(requirements).with_context(|| format!("could not read {}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
        .context("python3 cannot make an environment: apt-get install python3-venv")?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// What ran, and for how long.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("== {name}");
        let start = Instant::now();
        work().with_context(|| format!("the step \"{name}\" failed"))?;
        self.0.push((name, start.elapsed()));
        Ok(())
    }

    fn print(&self) {
        for (name, time) in &self.0 {
            println!("{:>6.1} s  {name}", time.as_secs_f64());
        }
    }
}
