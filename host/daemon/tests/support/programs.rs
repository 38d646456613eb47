//! The programs and plugins under test, as they were built.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A program beside `hotshoed`.
pub fn program(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_hotshoed")).with_file_name(name);
    assert!(
        beside.exists(),
        "{} is missing: cargo build -p hotshoe-localhub -p hotshoe-aot",
        beside.display()
    );
    beside
}

/// A plugin with its manifest embedded.
pub fn plugin(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_hotshoed")).ancestors().nth(2).unwrap();
    let file = target.join("guests").join(format!("{name}.wasm"));
    assert!(file.exists(), "{} is missing: cargo xtask guests", file.display());
    file
}

/// A plugin as another version of itself, in a file of its own.
pub fn version_of(name: &str, version: &str, file: &Path) -> PathBuf {
    let component = std::fs::read(plugin(name)).unwrap();
    let (manifest, text) = hotshoe_core::package::read(&component).unwrap();
    let own = format!("version = \"{}\"", manifest.version);
    assert!(text.contains(&own), "{name} names its version");
    let other = text.replacen(&own, &format!("version = \"{version}\""), 1);
    std::fs::write(file, hotshoe_core::package::embed(&component, &other)).unwrap();
    file.to_owned()
}

/// `hotshoe repo …` on a repository; it must succeed.
pub async fn repo(repository: &Path, words: &[&str]) {
    let mut command = tokio::process::Command::new(program("hotshoe"));
    command.arg("repo").args(words).arg("--repo").arg(repository).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A child process that does not outlive the test.
pub(super) struct Kept(pub(super) Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // An orderly end first, for programs that have children of their own.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while std::time::Instant::now() < end {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
