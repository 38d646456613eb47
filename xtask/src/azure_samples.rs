//! `cargo xtask azure-samples`: the official libraries' own published sample programs, unchanged, against the local hub.
//!
//! They are no part of this repository: each of the four repositories is fetched at a fixed commit into
//! `target/azure-sdk-samples`, or taken from a directory. What is done with each sample, and which are left out and why,
//! stands in `host/localhub/tests/sdk/samples/`. Some of them take their time, all together two minutes or three.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    azure,
    tools::{require, root, run, target},
};

/// Name, commit and what of it is wanted.
const REPOSITORIES: [(&str, &str, &[&str]); 4] = [
    ("azure-iot-sdk-python", "e75d1c2026eab939d5d31097fd0c22924c53abf8", &["samples"]),
    ("azure-iot-hub-python", "5f2f1ba064d9165c1e0d55ee3d47613cdc388390", &["samples"]),
    (
        "azure-iot-sdk-node",
        "e940876ef0d4704ddc28fb7b198ab8b4ff85dfbe",
        &["device/samples", "provisioning/device/samples"],
    ),
    ("azure-iot-hub-node", "e6ec8b3dd095c7d74ed7f15aa883c53975e1eb77", &["samples"]),
];

/// Where the samples are, and which of them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A directory with the four repositories by their names, instead of fetching them.
    #[arg(long, value_name = "DIRECTORY")]
    samples: Option<PathBuf>,
    /// The address that the hub listens on, with the ports 8883 and 443.
    #[arg(long, default_value = "127.0.0.4")]
    address: String,
    /// Only samples with one of these words in their path.
    words: Vec<String>,
}

/// Runs them; an error where one did not pass. Its output says which, and what it said.
pub(crate) fn run_samples(arguments: &Arguments) -> Result<()> {
    let scripts = root().join("host/localhub/tests/sdk");
    let python = azure::environment(&scripts.join("requirements.txt"))?;
    let modules = azure::node_modules(&scripts)?;
    let samples = match &arguments.samples {
        Some(samples) => samples.clone(),
        None => fetched()?,
    };
    run(Command::new(python)
        .arg(scripts.join("samples/run.py"))
        .arg(target().join("debug/hotshoe-localhub"))
        .arg(samples)
        .arg(modules)
        .arg(&arguments.address)
        .args(&arguments.words))
}

fn fetched() -> Result<PathBuf> {
    require("git", "git")?;
    let folder = target().join("azure-sdk-samples");
    for (name, commit, wanted) in REPOSITORIES {
        let repository = folder.join(name);
        let stamp = repository.join(".git/fetched");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == commit) {
            continue;
        }
        fetch(&repository, name, commit, wanted).with_context(|| {
            format!("the samples of {name} cannot be had; --samples DIRECTORY takes a copy of them")
        })?;
        fs::write(&stamp, commit).with_context(|| format!("could not write {}", stamp.display()))?;
    }
    Ok(folder)
}

fn fetch(repository: &Path, name: &str, commit: &str, wanted: &[&str]) -> Result<()> {
    fs::create_dir_all(repository).with_context(|| format!("could not make {}", repository.display()))?;
    let git = |arguments: &[&str]| run(Command::new("git").current_dir(repository).args(arguments));
    git(&["init", "--quiet"])?;
    git(&[&["sparse-checkout", "set"], wanted].concat())?;
    git(&["config", "remote.origin.url", &format!("https://github.com/Azure/{name}")])?;
    git(&["fetch", "--quiet", "--depth", "1", "--filter=blob:none", "origin", commit])?;
    // The files of those folders alone are asked for here.
    git(&["checkout", "--quiet", "--force", commit])
}
