//! `hotshoe build`: a crate and its `plugin.toml` become one file.
//!
//! Cargo compiles and decides what is up to date; the manifest is embedded, and what came out is looked at before it is
//! written: a manifest that does not parse, a version that differs from the crate's, an import that no device has are
//! errors here and not on a device. The manifest is read before the compiler is started, so that a slip in it is told in
//! a moment. The file appears whole or not at all.
//!
//! It does not sign: that is `hotshoe repo add`.

mod cargo;
mod target;

use std::{
    fs,
    path::{Path, PathBuf},
};

use hotshoe_core::{
    digest::{Algorithm, Digest},
    imports::{self, Import},
    manifest::{self, Manifest},
    package,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    args,
    check::Component,
    failure::{Exit, Failure},
    files,
    output::{Output, Table},
};

/// A built plugin.
pub(crate) struct Built {
    /// What it says about itself.
    pub(crate) manifest: Manifest,
    /// The file.
    pub(crate) file: PathBuf,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// What of WASI it imports that ends the call on a device, by name.
    pub(crate) traps: Vec<String>,
}

/// Carries out the command.
pub(crate) fn run(output: &Output, command: &args::Build) -> Result<(), Failure> {
    let built = build(&command.directory, command.output.as_deref(), &command.features, output.json())?;
    for name in &built.traps {
        output.note(&format!("{name} is imported; a device ends a call that uses it"));
    }
    let Built { manifest, file, bytes, traps } = &built;
    let digest = Digest { algorithm: Algorithm::Sha256, bytes: Sha256::digest(bytes).into() };
    if output.json() {
        return output.document(&json!({
            "name": manifest.name.as_str(), "version": manifest.version.to_string(), "file": file,
            "size": bytes.len(), "digest": digest, "traps": traps,
        }));
    }
    let mut table = Table::plain(0);
    table.row(["plugin", manifest.name.as_str()]);
    table.row(["version", &manifest.version.to_string()]);
    table.row(["file", &file.display().to_string()]);
    table.row(["size", &format!("{} KiB", bytes.len().div_ceil(1024))]);
    table.row(["digest", &digest.to_string()]);
    output.table(&table)
}

/// Builds the plugin in a directory; `file` is `target/plugins/PACKAGE.wasm` unless it is given. `quiet` keeps cargo's
/// progress, not its errors, off standard error.
pub(crate) fn build(
    directory: &Path,
    file: Option<&Path>,
    features: &[String],
    quiet: bool,
) -> Result<Built, Failure> {
    let path = directory.join("plugin.toml");
    let text = fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", path.display())).hint(
            "a plugin is a crate with a plugin.toml beside its Cargo.toml; docs/plugin-guide.md shows one",
        )
    })?;
    let manifest = manifest::parse(&text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.strip_prefix("plugin.toml: ").unwrap_or(&reason);
        Failure::new(Exit::Data, format!("{}: {reason}", path.display()))
    })?;
    let package = cargo::package(directory)?;
    if manifest.version != package.version {
        let text = format!(
            "{} says version {}, and Cargo.toml says {}",
            path.display(),
            manifest.version,
            package.version
        );
        return Err(Failure::new(Exit::Data, text).hint("write the same version in both"));
    }
    target::ensure(directory)?;
    let component = cargo::compile(&package, features, quiet)?;
    let component = fs::read(&component).map_err(|error| {
        Failure::new(Exit::OsError, format!("could not read {}: {error}", component.display()))
    })?;
    let bytes = package::embed(&component, &text);
    let traps = look_at(&package.name, &bytes)?;
    let file = match file {
        Some(file) => file.to_owned(),
        None => package.target_directory.join("plugins").join(format!("{}.wasm", package.name)),
    };
    if fs::read(&file).ok().as_deref() != Some(bytes.as_slice()) {
        files::replace(&file, &bytes, files::READABLE)?;
    }
    Ok(Built { manifest, file, bytes, traps })
}

/// Refuses what no device would take, and returns the imports that end a call.
fn look_at(package: &str, bytes: &[u8]) -> Result<Vec<String>, Failure> {
    let refused = |error: String| Failure::new(Exit::Data, format!("{package} is not a plugin: {error}"));
    package::read(bytes).map_err(|error| refused(error.to_string()))?;
    let component = Component::read(bytes).map_err(refused)?;
    if let Some(interface) = component.missing_exports().first() {
        return Err(refused(format!("it does not export {interface}"))
            .hint("the macro hotshoe_guest::export! exports all that is needed"));
    }
    let mut traps = Vec::new();
    for import in &component.imports {
        match imports::classify(&import.name) {
            Import::Unknown => {
                return Err(refused(format!("it imports {}, which no device has", import.name)));
            }
            Import::Trap => traps.push(import.name.clone()),
            Import::Contract(_) | Import::Wasi => {}
        }
    }
    Ok(traps)
}
