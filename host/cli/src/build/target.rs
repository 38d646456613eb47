//! The compiler's target for plugins: there, or added through rustup, or told how to add.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::failure::{Exit, Failure};

/// What plugins are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Makes sure that the toolchain in charge of a directory can compile for [`TARGET`].
pub(super) fn ensure(directory: &Path) -> Result<(), Failure> {
    if installed(directory) {
        return Ok(());
    }
    let text = format!("the Rust toolchain has no target {TARGET}");
    match Command::new("rustup").args(["target", "add", TARGET]).current_dir(directory).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.lines().last().unwrap_or("rustup could not add it").trim().to_owned();
            Err(Failure::new(Exit::Unavailable, format!("{text}: {reason}"))
                .hint(format!("rustup target add {TARGET}")))
        }
        Err(_) => Err(Failure::new(Exit::Unavailable, format!("{text}, and there is no rustup to add it"))
            .hint(format!("install rustup from https://rustup.rs, then: rustup target add {TARGET}"))),
    }
}

/// Whether the target's libraries lie where this compiler looks for them.
fn installed(directory: &Path) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]).current_dir(directory).stderr(Stdio::null());
    rustc.output().is_ok_and(|output| {
        output.status.success() && PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}
