//! The public conformance suite for TUF clients, against the verifier that the device uses.
//!
//! The suite is a Python program of the TUF project; it is fetched at a fixed commit into `target/tuf-conformance`, or
//! taken from a directory. The client under test is `host/daemon/examples/tuf_client.rs`. What is expected to fail stands
//! in `tuf_client.xfails` beside it, with the reason; a case that fails though it is not there fails the task, and so
//! does one that passes though it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::tools::{cargo, require, root, run, target};

const REPOSITORY: &str = "https://github.com/theupdateframework/tuf-conformance";
const COMMIT: &str = "eec841c186f81f2d9d8d30460c7e7deefa615f9e";

/// Where the suite is.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A directory with the suite, instead of fetching it.
    #[arg(long, value_name = "DIRECTORY")]
    suite: Option<PathBuf>,
    /// Only cases whose name has this in it.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Runs the suite.
pub(crate) fn check(arguments: &Arguments) -> Result<()> {
    require("faketime", "faketime")?;
    require("python3", "python3 python3-venv")?;
    let folder = target().join("tuf-conformance");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let suite = match &arguments.suite {
        Some(suite) => suite.clone(),
        None => fetched(&folder)?,
    };
    let python = environment(&folder, &suite)?;
    run(cargo().args(["build", "--workspace", "--example", "tuf_client"]))?;
    let client = target().join("debug/examples/tuf_client");
    fs::copy(root().join("host/daemon/examples/tuf_client.xfails"), client.with_extension("xfails"))
        .context("could not copy the list of expected failures")?;
    let mut command = Command::new(python);
    command.current_dir(&suite).args([
        "-m",
        "pytest",
        "-q",
        "-rxX",
        "-p",
        "no:cacheprovider",
        "tuf_conformance",
    ]);
    command.arg("--entrypoint").arg(client);
    if let Some(only) = &arguments.only {
        command.args(["-k", only]);
    }
    run(&mut command)
}

fn fetched(folder: &Path) -> Result<PathBuf> {
    let suite = folder.join("suite");
    if !suite.join(".git").is_dir() {
        run(Command::new("git").args(["clone", "--quiet", REPOSITORY]).arg(&suite))?;
    }
    run(Command::new("git").arg("-C").arg(&suite).args(["checkout", "--quiet", COMMIT]))?;
    Ok(suite)
}

/// A Python environment with what the suite needs.
fn environment(folder: &Path, suite: &Path) -> Result<PathBuf> {
    let environment = folder.join("environment");
    let python = environment.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))
            .context("python3 cannot make an environment: apt-get install python3-venv")?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(suite))?;
    }
    Ok(python)
}
