//! What the tests of the local hub's page need beside the workspace: Chromium, driven by ChromeDriver, and axe-core, which
//! finds what keeps people out. Both are needed for tests alone; no program has anything of them.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use crate::tools::{require, run, target};

/// The release of axe-core that the page is checked with.
const AXE: &str = "4.14.1";

/// Installs axe-core into `target/axe`, once; says what else is missing.
pub(crate) fn prepare() -> Result<()> {
    require("chromedriver", "chromium chromium-driver")?;
    let folder = target().join("axe");
    let stamp = folder.join("version");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == AXE) {
        return Ok(());
    }
    require("npm", "npm")?;
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    run(Command::new("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&folder)
        .arg(format!("axe-core@{AXE}")))?;
    fs::write(&stamp, AXE).with_context(|| format!("could not write {}", stamp.display()))
}
