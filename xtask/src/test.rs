//! `cargo xtask test`: everything that must hold before a change lands, in the order that fails soonest.
//!
//! The same on a developer's machine and in continuous integration. The official Azure libraries are part of it,
//! see [`crate::azure`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{
    azure, browser, guests, layers,
    tools::{cargo, run, target},
    torture, wit,
};

/// What to leave out.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the official Azure libraries, which need Python 3 and its package index.
    #[arg(long)]
    no_azure_sdk: bool,
    /// Leave out what needs Chromium: the tests of the local hub's page.
    #[arg(long)]
    no_browser: bool,
    /// Only the steps with this in their names, such as `cuts` or `Azure`; what they build on must have been built.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

/// Runs all checks; the first that fails ends it.
pub(crate) fn run_tests(arguments: &Arguments) -> Result<()> {
    let only = arguments.only.as_deref().unwrap_or_default().to_lowercase();
    let mut steps = Steps { only, ran: Vec::new() };
    steps.step("formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("the contract", wit::run)?;
    steps.step("layers", layers::check)?;
    steps.step("guests", || guests::build(None).map(|_| ()))?;
    steps.step("programs", || run(cargo().args(["build", "--workspace", "--bins"])))?;
    steps.step("lints", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    })?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    if arguments.no_browser {
        println!("skipped: the local hub's page in Chromium (--no-browser)");
    } else {
        steps.step("a browser", browser::prepare)?;
        tests.env("HOTSHOE_BROWSER", "required");
    }
    let ran = steps.step("tests", || run(&mut tests))?;
    if ran && !arguments.no_browser {
        println!("pictures of the local hub's page are in {}", target().join("screenshots").display());
    }
    steps.step("power cuts", torture::short)?;
    if arguments.no_azure_sdk {
        println!("skipped: the official Azure libraries (--no-azure-sdk)");
    } else {
        steps.step("the official Azure libraries", azure::check)?;
    }
    steps.print()
}

/// What ran, and for how long.
struct Steps {
    /// What the name of a step must contain, in small letters.
    only: String,
    ran: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<bool> {
        if !name.to_lowercase().contains(&self.only) {
            return Ok(false);
        }
        println!("== {name}");
        let start = Instant::now();
        work().with_context(|| format!("the step \"{name}\" failed"))?;
        self.ran.push((name, start.elapsed()));
        Ok(true)
    }

    fn print(&self) -> Result<()> {
        ensure!(!self.ran.is_empty(), "no step has {:?} in its name", self.only);
        for (name, time) in &self.ran {
            println!("{:>6.1} s  {name}", time.as_secs_f64());
        }
        Ok(())
    }
}
