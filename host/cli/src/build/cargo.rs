//! What cargo knows of a crate, and cargo's work on it.
//!
//! A workspace of ours has the profile `guest`; a crate from elsewhere has none, and is given one on the command line:
//! the same flags, so that a plugin comes out alike wherever it is built. See docs/decisions/0100.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::Value;

use super::target::TARGET;
use crate::failure::{Exit, Failure};

const PROFILE: &str = "guest";

/// The profile of a workspace that has none of its own: small, without unwinding, and with the names of functions.
const SETTINGS: [&str; 6] = [
    "inherits=\"release\"",
    "opt-level=\"s\"",
    "lto=true",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=\"debuginfo\"",
];

/// What is needed to know of a crate.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: semver::Version,
    pub(super) target_directory: PathBuf,
    manifest: PathBuf,
    own_profile: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Entry>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: semver::Version,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// Asks cargo about the crate in a directory.
pub(super) fn package(directory: &Path) -> Result<Package, Failure> {
    let manifest = directory.join("Cargo.toml");
    let manifest = fs::canonicalize(&manifest).map_err(|error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", manifest.display()))
            .hint("give the directory of the plugin's crate: hotshoe build DIR")
    })?;
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .output()
        .map_err(no_cargo)?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new(
            Exit::Data,
            format!("cargo does not read {}: {reason}", manifest.display()),
        ));
    }
    let wrong = |reason: String| Failure::new(Exit::Software, format!("cargo metadata: {reason}"));
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| wrong(error.to_string()))?;
    let entry = metadata.packages.into_iter().find(|entry| entry.manifest_path == manifest);
    let entry = entry.ok_or_else(|| {
        Failure::new(Exit::Data, format!("{} is a workspace and not a crate", manifest.display()))
            .hint("give the directory of the plugin's crate: hotshoe build DIR")
    })?;
    if !entry.targets.iter().any(|target| target.crate_types.iter().any(|kind| kind == "cdylib")) {
        let text = format!("{} makes no component", manifest.display());
        return Err(Failure::new(Exit::Data, text)
            .hint("add to Cargo.toml: [lib] crate-type = [\"cdylib\", \"rlib\"]"));
    }
    Ok(Package {
        name: entry.name,
        version: entry.version,
        target_directory: metadata.target_directory,
        manifest,
        own_profile: has_profile(&metadata.workspace_root.join("Cargo.toml")),
    })
}

/// Compiles, and returns where the component lies. What the compiler has to say goes to standard error.
pub(super) fn compile(package: &Package, features: &[String], quiet: bool) -> Result<PathBuf, Failure> {
    let mut cargo = cargo();
    cargo.args(["build", "--lib", "--target", TARGET, "--profile", PROFILE]);
    cargo.args(["--message-format", "json-render-diagnostics", "--manifest-path"]).arg(&package.manifest);
    if quiet {
        cargo.arg("--quiet");
    }
    for features in features {
        cargo.args(["--features", features]);
    }
    if !package.own_profile {
        for setting in SETTINGS {
            cargo.args(["--config", &format!("profile.{PROFILE}.{setting}")]);
        }
    }
    // What was set for programs of this machine does not go for plugins.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(no_cargo)?;
    if !output.status.success() {
        return Err(Failure::new(Exit::Software, format!("{} does not compile", package.name)));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.get("manifest_path").and_then(Value::as_str).map(Path::new) == Some(&package.manifest)
        })
        .filter_map(|message| {
            let files = message.get("filenames")?.as_array()?;
            files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
        })
        .next_back()
        .ok_or_else(|| Failure::new(Exit::Software, format!("cargo made no .wasm file of {}", package.name)))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn no_cargo(error: std::io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("could not start cargo: {error}"))
        .hint("install Rust from https://rustup.rs")
}

/// Whether a workspace has a profile of its own for plugins.
fn has_profile(manifest: &Path) -> bool {
    let text = fs::read_to_string(manifest).unwrap_or_default();
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.get("profile").and_then(|it| it.get(PROFILE)).is_some())
}
