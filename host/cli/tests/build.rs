//! `hotshoe build` and `hotshoe check` with the real cargo on real crates.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{fs, path::Path};

use serde_json::json;
use support::{Ran, bare};
use tempfile::TempDir;

const MANIFEST: &str = "name = \"acme.lamp\"\nversion = \"1.0.0\"\napi = \"hotshoe:plugin@0.1.0\"\n";

/// A crate of nobody's workspace.
fn lamp(cargo: &str, plugin: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Cargo.toml"), cargo).unwrap();
    fs::write(folder.path().join("plugin.toml"), plugin).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    folder
}

fn cargo_toml(version: &str, lib: &str) -> String {
    format!("[package]\nname = \"lamp\"\nversion = \"{version}\"\nedition = \"2024\"\n{lib}\n[workspace]\n")
}

async fn run(arguments: &[&str], path: &Path) -> Ran {
    let mut command = bare(arguments);
    command.arg(path).env_remove("CARGO_TARGET_DIR");
    Ran::from(command.output().await.unwrap())
}

/// Of our workspace, with its own profile: built, looked at, and judged.
#[tokio::test]
async fn a_plugin_is_built_and_checked() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/diagnostics");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("diagnostics.wasm");
    let ran = run(&["build", "--json", "--output", file.to_str().unwrap()], &crates).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let built = ran.json();
    assert_eq!((&built["name"], &built["traps"]), (&json!("hotshoe.diagnostics"), &json!([])));
    assert_eq!(built["size"], fs::metadata(&file).unwrap().len());

    let ran = run(&["check", "--json"], &file).await;
    assert_eq!(ran.exit, 0, "{ran:?}");
    let told = ran.json();
    assert_eq!(told["digest"], built["digest"]);
    assert_eq!(told["asked"]["restart"], true);
    assert!(told["sizes"]["names"].as_u64().unwrap() > 1000, "traps would have no names: {told}");
    let imports = told["imports"].as_array().unwrap();
    let report = imports.iter().find(|it| it["name"] == "hotshoe:plugin/report@0.1.1").unwrap();
    assert!(report["functions"].as_array().unwrap().contains(&json!("patch")), "{report}");

    let policy = folder.path().join("policy.toml");
    let policy_name = policy.to_str().unwrap();
    fs::write(&policy, "[plugins.\"hotshoe.diagnostics\"]\nrestart = true\n").unwrap();
    let ran = run(&["check", "--policy", policy_name], &file).await;
    assert!(ran.exit == 0 && ran.stdout.contains("the policy grants\n  restart"), "{ran:?}");
    fs::write(&policy, "").unwrap();
    let ran = run(&["check", "--policy", policy_name], &file).await;
    let denial = "hotshoe.diagnostics asks for restart; policy for hotshoe.diagnostics grants nothing";
    assert!(ran.exit == 77 && ran.stderr.contains(denial) && ran.stdout.contains(denial), "{ran:?}");
    fs::write(&policy, "[plugins.\"hotshoe.diagnostics\"]\nrestat = true\n").unwrap();
    let ran = run(&["check", "--policy", policy_name], &file).await;
    assert_eq!(ran.exit, 78);
    assert!(ran.stderr.contains("line 2: key `restat` is unknown; did you mean `restart`?"), "{ran:?}");
}

/// Compiled with the profile that is given to it, and refused for what it lacks.
#[tokio::test]
async fn a_crate_from_elsewhere_is_compiled_and_told_what_it_lacks() {
    let cargo = cargo_toml("1.0.0", "[lib]\ncrate-type = [\"cdylib\"]");
    let folder = lamp(&cargo, MANIFEST);
    let ran = run(&["build"], folder.path()).await;
    assert_eq!(ran.exit, 65, "{ran:?}");
    assert!(ran.stderr.contains("lamp is not a plugin: it does not export hotshoe:plugin/"), "{ran:?}");
    assert!(folder.path().join("target/wasm32-wasip2/guest/lamp.wasm").is_file());
    assert!(!folder.path().join("target/plugins/lamp.wasm").exists());

    fs::write(folder.path().join("src/lib.rs"), "pub fn lamp() -> u32 { \"no\" }").unwrap();
    let ran = run(&["build"], folder.path()).await;
    assert_eq!(ran.exit, 70);
    assert!(
        ran.stderr.contains("mismatched types") && ran.stderr.contains("lamp does not compile"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn mistakes_are_named_with_their_file_and_cure() {
    let lib = "[lib]\ncrate-type = [\"cdylib\"]";
    let told = async |cargo: &str, plugin: &str| {
        let folder = lamp(cargo, plugin);
        let ran = run(&["build"], folder.path()).await;
        assert_eq!(ran.exit, 65, "{ran:?}");
        ran.stderr
    };
    let stderr = told(&cargo_toml("1.0.1", lib), MANIFEST).await;
    assert!(stderr.contains("plugin.toml says version 1.0.0, and Cargo.toml says 1.0.1"), "{stderr}");
    let stderr = told(&cargo_toml("1.0.0", lib), &format!("{MANIFEST}sumary = \"x\"\n")).await;
    assert!(
        stderr.contains("plugin.toml: line 4: key `sumary` is unknown; did you mean `summary`?"),
        "{stderr}"
    );
    let stderr = told(&cargo_toml("1.0.0", ""), MANIFEST).await;
    assert!(stderr.contains("makes no component") && stderr.contains("crate-type = [\"cdylib\""), "{stderr}");

    let empty = tempfile::tempdir().unwrap();
    let ran = run(&["build"], empty.path()).await;
    assert!(ran.exit == 66 && ran.stderr.contains("plugin.toml"), "{ran:?}");
    let noise = empty.path().join("noise.wasm");
    fs::write(&noise, "noise").unwrap();
    let ran = run(&["check"], &noise).await;
    assert!(
        ran.exit == 65 && ran.stderr.contains("is not a plugin: this is not a WebAssembly component"),
        "{ran:?}"
    );
    let ran = run(&["check"], &empty.path().join("none.wasm")).await;
    assert_eq!(ran.exit, 66);
}
