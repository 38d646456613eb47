//! `hotshoe dev` with the real programs, which lie beside `hotshoe` when the tests run (`cargo xtask test` builds them).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{fs, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use support::bare;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

/// Compiling a crate anew is the longest step.
const PATIENCE: Duration = Duration::from_secs(600);

const SOURCE: &str = r#"
struct Lamp;
impl hotshoe_guest::Plugin for Lamp {}
hotshoe_guest::export!(Lamp);
"#;

/// A plugin of nobody's workspace.
fn lamp(folder: &Path, version: &str) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-guest");
    let cargo = format!(
        "[package]\nname = \"lamp\"\nversion = \"{version}\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\nhotshoe-guest = {{ path = {sdk:?} }}\n[workspace]\n"
    );
    let plugin = format!("name = \"acme.lamp\"\nversion = \"{version}\"\napi = \"hotshoe:plugin@0.1.0\"\n");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), SOURCE).unwrap();
    fs::write(folder.join("Cargo.toml"), cargo).unwrap();
    fs::write(folder.join("plugin.toml"), plugin).unwrap();
}

/// The first event of this kind from now on; others go by.
async fn event(lines: &mut Lines<BufReader<ChildStdout>>, kind: &str) -> String {
    let found = async {
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            if text("event") == kind {
                return text("text");
            }
            seen.push(line);
        }
        panic!("it ended without {kind}: {seen:?}")
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{kind} never came"))
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[tokio::test]
async fn a_save_is_swapped_in_and_a_mistake_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    lamp(folder.path(), "1.0.0");
    let mut dev = bare(&["dev", "--json"]).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    assert!(event(&mut lines, "live").await.contains("acme.lamp 1.0.0"));

    fs::write(folder.path().join("src/lib.rs"), "no Rust").unwrap();
    let refused = event(&mut lines, "refused").await;
    assert_eq!(refused, "lamp does not compile; the version of acme.lamp before goes on serving");

    lamp(folder.path(), "1.1.0");
    assert!(event(&mut lines, "live").await.contains("acme.lamp 1.1.0"));
    interrupt(&dev);
    assert!(timeout(PATIENCE, dev.wait()).await.unwrap().unwrap().success());
}

/// The command lines of the processes that have the text in theirs.
fn processes(with: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(with)).collect()
}

#[tokio::test]
async fn nothing_is_left_when_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    lamp(folder.path(), "1.0.0");
    fs::remove_file(folder.path().join("plugin.toml")).unwrap(); // it need not even compile
    let mut dev = bare(&["dev", "--json"]).arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let stand = event(&mut lines, "stand").await;
    let owner = stand.split(' ').find(|word| word.ends_with("/hub/owner.connection-string")).unwrap();
    let stand = owner.strip_suffix("/hub/owner.connection-string").unwrap();
    assert!(Path::new(stand).exists() && processes(stand).len() > 1, "hub and device");

    drop(lines);
    fs::write(folder.path().join("src/lib.rs"), "// a save").unwrap(); // so that there is something to say
    assert!(timeout(PATIENCE, dev.wait()).await.unwrap().unwrap().success());
    assert_eq!(processes(stand), Vec::<String>::new());
    assert!(!Path::new(stand).exists());
}
