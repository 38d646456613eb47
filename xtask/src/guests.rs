//! `cargo xtask guests`: the plugins of this repository, built as any author builds theirs: by `hotshoe build`.
//!
//! The guests are built here and never by a `build.rs`: they have another target and another profile, and a build of the
//! host should not wait for them. Cargo decides what is up to date. Of our own guests more is asked than of others': none
//! imports what ends the call on a device, but for the hostile one.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::tools::{capture, cargo, root, run as run_command, target};

/// The guests: the file's name, the crate's directory, and its features.
const GUESTS: [(&str, &str, &[&str]); 6] = [
    ("firmware-update-next", "plugins/firmware-update", &["next-layout"]),
    ("firmware-update", "plugins/firmware-update", &[]),
    ("diagnostics-bug", "plugins/diagnostics", &["bug"]),
    ("diagnostics", "plugins/diagnostics", &[]),
    ("test-guest", "host/daemon/test-guest", &[]),
    ("zoo", "host/daemon/tests/zoo/guest", &[]),
];

/// The guest that tries what ends its call.
const HOSTILE: &str = "zoo";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Builds this guest only, by the name of its file.
    guest: Option<String>,
}

/// A built guest, as `hotshoe build --json` tells of it.
#[derive(Deserialize)]
pub(crate) struct Guest {
    /// `target/guests/<name>.wasm`.
    pub(crate) file: PathBuf,
    /// The name in its manifest.
    pub(crate) name: String,
    /// The version in its manifest.
    pub(crate) version: String,
    /// The size of the file in bytes.
    pub(crate) size: usize,
    traps: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for guest in build(arguments.guest.as_deref())? {
        let Guest { file, name, version, size, .. } = guest;
        println!("{name} {version}: {} ({} KiB)", file.display(), size.div_ceil(1024));
    }
    Ok(())
}

/// Builds all guests, or one.
pub(crate) fn build(only: Option<&str>) -> Result<Vec<Guest>> {
    let guests: Vec<_> = GUESTS.iter().filter(|(name, ..)| only.is_none_or(|only| only == *name)).collect();
    let names = GUESTS.map(|(name, ..)| name).join(", ");
    ensure!(!guests.is_empty(), "there is no guest {}; there are {names}", only.unwrap_or_default());
    // Of the whole workspace, so that its dependencies are compiled once and with the features that all need.
    run_command(cargo().args(["build", "--quiet", "--workspace", "--bin", "hotshoe"]))?;
    let tool = target().join("debug/hotshoe");
    let build = |(name, directory, features): &(&str, &str, &[&str])| -> Result<Guest> {
        let file = target().join("guests").join(format!("{name}.wasm"));
        let mut command = Command::new(&tool);
        command.args(["build", "--json", "--output"]).arg(&file).arg(root().join(directory));
        command.args(features.iter().flat_map(|feature| ["--features", *feature]));
        let told = capture(&mut command)?;
        let guest: Guest =
            serde_json::from_str(&told).with_context(|| format!("hotshoe build told {told}"))?;
        ensure!(
            guest.traps.is_empty() || *name == HOSTILE,
            "{name} imports {}, which ends its call",
            guest.traps.join(", ")
        );
        Ok(guest)
    };
    guests.into_iter().map(build).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guest_has_a_manifest_that_the_host_reads() {
        for (name, directory, _) in GUESTS {
            let text = std::fs::read_to_string(root().join(directory).join("plugin.toml")).unwrap();
            let manifest = hotshoe_core::manifest::parse(&text).unwrap();
            assert!(!manifest.summary.is_empty(), "{name}");
        }
    }
}
