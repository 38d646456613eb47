//! `cargo xtask guests`: crates to components, each with its manifest embedded.
//!
//! The guests are built here and never by a `build.rs`: they have another target and another profile, and a
//! build of the host should not wait for them. Cargo decides what is up to date. What is built is looked at
//! before it is written: a manifest that does not parse, a version that differs from the crate's, or an import
//! that no host serves is an error here and not on a device.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use hotshoe_core::package;
use wasmparser::{Parser, Payload};

use crate::tools;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

/// The guests: the package's name and its directory.
const GUESTS: [(&str, &str); 3] = [
    ("firmware-update", "plugins/firmware-update"),
    ("diagnostics", "plugins/diagnostics"),
    ("test-guest", "host/daemon/test-guest"),
];

/// What the contract gives.
const CONTRACT: &str = "hotshoe:plugin/";

/// What of WASI the host gives, without versions: what Rust's `std` needs to start. None reaches a file, the
/// network or another program.
const WASI: [&str; 17] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Builds this guest only, by the name of its package.
    guest: Option<String>,
}

/// A built guest.
pub(crate) struct Guest {
    /// `target/guests/<package>.wasm`.
    pub(crate) file: PathBuf,
    /// The name in its manifest.
    pub(crate) name: String,
    /// The version in its manifest.
    pub(crate) version: String,
    /// The size of the file in bytes.
    pub(crate) size: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for guest in build(arguments.guest.as_deref())? {
        let Guest { file, name, version, size } = guest;
        println!("{name} {version}: {} ({} KiB)", file.display(), size.div_ceil(1024));
    }
    Ok(())
}

/// Builds all guests, or one.
pub(crate) fn build(only: Option<&str>) -> Result<Vec<Guest>> {
    let guests: Vec<_> =
        GUESTS.iter().filter(|(package, _)| only.is_none_or(|only| only == *package)).collect();
    ensure!(!guests.is_empty(), "there is no guest {}; there are {}", only.unwrap_or_default(), names());
    let root = tools::root();
    add_target(&root)?;
    compile(&root, &guests)?;
    guests.iter().map(|(package, directory)| assemble(&root, package, directory)).collect()
}

fn names() -> String {
    GUESTS.map(|(package, _)| package).join(", ")
}

/// Adds the target to the toolchain where it is missing and rustup is there to do so.
fn add_target(root: &Path) -> Result<()> {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root).output();
    match installed {
        Ok(output) if String::from_utf8_lossy(&output.stdout).lines().any(|line| line == TARGET) => Ok(()),
        Ok(_) => {
            let mut rustup = Command::new("rustup");
            tools::run(rustup.args(["target", "add", TARGET]).current_dir(root))
        }
        // A toolchain without rustup: cargo will say what is missing.
        Err(_) => Ok(()),
    }
}

fn compile(root: &Path, guests: &[&(&str, &str)]) -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--quiet", "--lib", "--target", TARGET, "--profile", PROFILE]);
    for (package, _) in guests {
        cargo.args(["--package", package]);
    }
    // What was set for the host's build does not go for the guests'.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    tools::run(&mut cargo)
}

/// Embeds the manifest, checks the whole, and writes it where it is not there already.
fn assemble(root: &Path, package: &str, directory: &str) -> Result<Guest> {
    let target = tools::target();
    let built = target.join(TARGET).join(PROFILE).join(format!("{}.wasm", package.replace('-', "_")));
    let component = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let manifest = root.join(directory).join("plugin.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;

    let bytes = package::embed(&component, &text);
    let (manifest, _) = package::read(&bytes).with_context(|| format!("{package} is not a plugin"))?;
    let version = crate_version(root, directory)?;
    ensure!(
        manifest.version.to_string() == version,
        "{directory}/plugin.toml has version {}, and the crate has {version}",
        manifest.version
    );
    check_imports(&bytes).with_context(|| format!("{package} asks for what no host gives"))?;

    let guests = target.join("guests");
    fs::create_dir_all(&guests).with_context(|| format!("cannot make {}", guests.display()))?;
    let file = guests.join(format!("{package}.wasm"));
    if fs::read(&file).ok().as_deref() != Some(bytes.as_slice()) {
        fs::write(&file, &bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Guest { file, name: manifest.name.to_string(), version, size: bytes.len() })
}

/// The version in a crate's `Cargo.toml`, inherited from the workspace or its own.
fn crate_version(root: &Path, directory: &str) -> Result<String> {
    let read = |path: PathBuf| -> Result<toml::Table> {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.parse().with_context(|| format!("{} is not TOML", path.display()))
    };
    let member = read(root.join(directory).join("Cargo.toml"))?;
    let version = member.get("package").and_then(|package| package.get("version"));
    if let Some(version) = version.and_then(toml::Value::as_str) {
        return Ok(version.to_owned());
    }
    let workspace = read(root.join("Cargo.toml"))?;
    let version = workspace.get("workspace").and_then(|it| it.get("package")?.get("version")?.as_str());
    version.map(str::to_owned).context("the workspace has no version")
}

/// Refuses a component that imports more than the contract and what `std` needs.
fn check_imports(component: &[u8]) -> Result<()> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let name = import?.name.name;
                    let interface = name.split('@').next().unwrap_or(name);
                    if !interface.starts_with(CONTRACT) && !WASI.contains(&interface) {
                        bail!("the import {name} is neither of {CONTRACT} nor what std needs to start");
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that imports one function, spelt out section by section.
    fn importing(name: &str) -> Vec<u8> {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        // One type: a function without parameters and result.
        component.extend([7, 5, 1, 0x40, 0, 1, 0]);
        let mut import = vec![1, 0, u8::try_from(name.len()).unwrap()];
        import.extend(name.as_bytes());
        import.extend([1, 0]);
        component.push(10);
        component.push(u8::try_from(import.len()).unwrap());
        component.extend(import);
        component
    }

    #[test]
    fn an_import_that_no_host_gives_is_named() {
        for given in ["hotshoe:plugin/flash@0.1.0", "wasi:cli/stderr@0.2.6", "wasi:io/streams@0.2.0"] {
            check_imports(&importing(given)).unwrap();
        }
        for refused in
            ["wasi:filesystem/types@0.2.6", "wasi:sockets/tcp@0.2.6", "acme:plugin/flash@0.1.0", "env"]
        {
            let error = check_imports(&importing(refused)).unwrap_err();
            assert!(error.to_string().contains(refused), "{error}");
        }
    }

    #[test]
    fn each_guest_has_a_manifest_that_the_host_reads() {
        for (package, directory) in GUESTS {
            let text = fs::read_to_string(tools::root().join(directory).join("plugin.toml")).unwrap();
            let manifest = hotshoe_core::manifest::parse(&text).unwrap();
            assert!(!manifest.summary.is_empty(), "{package}");
        }
    }
}
