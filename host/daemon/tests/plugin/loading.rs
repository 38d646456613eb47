//! What is let in, and where its code comes from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hotshoe_core::package;
use hotshoed::plugin::{CompileError, LoadError, Routes};
use serde_json::json;

use super::stage::{Stage, aot, assert_well, call, guest};

fn nowhere() -> PathBuf {
    PathBuf::from("/nonexistent/hotshoe-aot")
}

/// The compiled code in the cache of a stage.
fn compiled(stage: &Stage) -> PathBuf {
    let entries = std::fs::read_dir(stage.directory.path().join("cache")).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("key"));
    files.next().expect("nothing was compiled")
}

fn flip(file: &Path, position: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[position] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn the_second_start_does_not_compile() {
    let stage = Stage::fresh(|_| {});
    stage.test_guest().await;
    let stage = stage.restarted(|settings| settings.aot = nowhere());
    let plugin = stage.load(&guest("test-guest")).await.unwrap();
    assert_well(&plugin).await;
}

#[tokio::test]
async fn a_flipped_byte_in_the_cache_is_compiled_again_and_never_run() {
    let stage = Stage::fresh(|_| {});
    stage.test_guest().await;
    let file = compiled(&stage);
    let size = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap();
    for position in [0, 40, size / 2, size - 1] {
        flip(&file, position);
    }
    let stage = stage.restarted(|settings| settings.aot = nowhere());
    let error = stage.load(&guest("test-guest")).await.unwrap_err();
    assert!(matches!(error, LoadError::Compile(CompileError::Start { .. })), "{error}");

    let stage = stage.restarted(|_| {});
    assert_well(&stage.load(&guest("test-guest")).await.unwrap()).await;
    let stage = stage.restarted(|settings| settings.aot = nowhere());
    assert_well(&stage.load(&guest("test-guest")).await.unwrap()).await;
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let stage = Stage::new();
    let module = wat::parse_str("(module)").unwrap();
    let component = wat::parse_str("(component)").unwrap();
    let garbage = package::embed(&[&component[..], &[7, 3, 1, 2, 3]].concat(), MANIFEST);
    for (bytes, word) in [
        (&b""[..], "not a WebAssembly component"),
        (b"\x7fELF and so on", "precompiled"),
        (&module, "core WebAssembly module"),
        (&component, "no manifest"),
        (&garbage, "does not compile"),
        (&package::embed(&component, MANIFEST), "does not fit the contract"),
    ] {
        let error = stage.load(bytes).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn precompiled_code_is_never_a_plugin() {
    let stage = Stage::new();
    stage.test_guest().await;
    let native = std::fs::read(compiled(&stage)).unwrap();
    for offset in [0, 32] {
        let error = stage.load(&native[offset..]).await.unwrap_err();
        assert!(matches!(error, LoadError::Precompiled | LoadError::Package(_)), "{error}");
    }
    assert!(matches!(stage.load(&native[32..]).await.unwrap_err(), LoadError::Precompiled));
}

#[tokio::test]
async fn an_oversized_plugin_is_not_looked_at() {
    let stage = Stage::with(|settings| (settings.component_limit, settings.aot) = (1000, nowhere()));
    let error = stage.load(&[0; 1001]).await.unwrap_err();
    assert_eq!(error.to_string(), "the plugin has 1001 bytes, the limit is 1000");
}

#[tokio::test]
async fn what_the_policy_does_not_grant_is_named() {
    let stage = Stage::new();
    stage.test_guest().await;
    let component = guest("test-guest");

    let error = stage.load_with(&component, "").await.unwrap_err().to_string();
    for asked in ["download", "flash", "restart", "storage", "telemetry"] {
        let text = format!("test.misbehaving asks for {asked}");
        assert!(error.contains(&text), "{error}");
    }

    let some = "[plugins.\"*\"]\ndownload = [\"https://*:*/\"]\nstorage = \"64KiB\"\n";
    let error = stage.load_with(&component, some).await.unwrap_err().to_string();
    let denial = "test.misbehaving asks for flash; policy for test.misbehaving grants download of https://*:*/ and storage of 64KiB only";
    assert_eq!(error, denial);
}

#[tokio::test]
async fn an_import_that_the_manifest_does_not_ask_for_is_refused() {
    let stage = Stage::new();
    let (_, manifest) = package::read(&guest("test-guest")).unwrap();
    let quiet = manifest.replace("flash = true", "flash = false");
    let error = stage.load(&package::embed(&guest("test-guest"), &quiet)).await.unwrap_err().to_string();
    assert!(error.contains("imports slots, revert of flash; its manifest does not ask for flash"), "{error}");
}

#[tokio::test]
async fn an_unknown_import_is_refused_and_an_unserved_one_of_wasi_is_a_trap() {
    let stage = Stage::new();
    let import = |name: &str| {
        let text =
            PLUGIN.replace("(;imports;)", &format!("(import \"{name}\" (instance (export \"f\" (func))))"));
        package::embed(&wat::parse_str(text).unwrap(), MANIFEST)
    };
    for name in ["acme:secret/door@1.0.0", "hotshoe:plugin/root@0.1.0"] {
        let error = stage.load(&import(name)).await.unwrap_err().to_string();
        assert_eq!(error, format!("the plugin imports {name}, which this host does not have"));
    }
    // Linked to nothing: this plugin's exports are of other types than the contract's, which shows only now.
    let error = stage.load(&import("wasi:sockets/udp@0.2.6")).await.unwrap_err().to_string();
    assert!(!error.contains("imports"), "{error}");
}

#[tokio::test]
async fn start_code_that_loops_is_stopped() {
    let stage = Stage::with(|settings| settings.burst_limit = Duration::from_millis(200));
    let looping = PLUGIN.replace("(;start;)", "(func $loop (loop br 0)) (start $loop)");
    let component = package::embed(&wat::parse_str(looping).unwrap(), MANIFEST);
    let error = stage.load(&component).await.unwrap_err();
    assert!(matches!(error, LoadError::Start(_)), "{error}");
}

#[tokio::test]
async fn a_memory_larger_than_the_grant_is_refused_before_it_is_made() {
    let stage = Stage::new();
    // 1 GiB at once, where the manifest says 32 MiB by default.
    let greedy = PLUGIN.replace("(;start;)", "(memory 16384)");
    let component = package::embed(&wat::parse_str(greedy).unwrap(), MANIFEST);
    let error = stage.load(&component).await.unwrap_err();
    assert!(!matches!(error, LoadError::Compile(_)), "{error}");
}

#[tokio::test]
async fn a_compiler_that_fails_is_told_as_such() {
    for (program, word) in [("/bin/false", "without a result"), ("/bin/true", "without a result")] {
        let stage = Stage::fresh(|settings| settings.aot = program.into());
        let error = stage.load(&guest("test-guest")).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    // Bounded by the kernel: a compiler that may have no memory comes to no result.
    let stage = Stage::fresh(|settings| (settings.aot, settings.compile_memory) = (aot(), 1 << 20));
    let error = stage.load(&guest("test-guest")).await.unwrap_err();
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
}

#[tokio::test]
async fn the_first_plugin_keeps_its_methods() {
    let stage = Stage::new();
    let first = stage.test_guest().await;
    let (_, manifest) = package::read(&guest("test-guest")).unwrap();
    let renamed = manifest.replace("name = \"test.misbehaving\"", "name = \"test.thief\"");
    let second = stage.load(&package::embed(&guest("test-guest"), &renamed)).await.unwrap();

    let routes = Routes::default();
    routes.add(first.clone()).unwrap();
    let error = routes.add(second.clone()).unwrap_err().to_string();
    assert_eq!(error, "test.thief claims the method echo, which is test.misbehaving's");
    assert_eq!(routes.plugins().len(), 1);
    let held = routes.lookup("echo").unwrap();
    assert!(routes.remove(&first.manifest().name));
    assert!(routes.lookup("echo").is_none());
    routes.add(second).unwrap();
    assert_eq!(routes.lookup("echo").unwrap().manifest().name.as_str(), "test.thief");
    // A call that began before the change goes on with what it has.
    assert_eq!(call(&held, "echo", json!(1)).await, (200, json!(1)));
}

#[tokio::test]
async fn the_first_party_plugins_are_let_in_side_by_side() {
    let stage = Stage::new();
    let routes = Routes::default();
    for name in ["firmware-update", "diagnostics"] {
        routes.add(stage.load(&guest(name)).await.unwrap()).unwrap();
    }
    let ping = routes.lookup("ping").unwrap();
    assert_eq!(call(&ping, "ping", json!(null)).await.0, 200);
    assert_eq!(routes.lookup("firmwareUpdate").unwrap().manifest().name.as_str(), "hotshoe.firmware-update");
}

const MANIFEST: &str = "name = \"test.hand-made\"\nversion = \"1.0.0\"\napi = \"hotshoe:plugin@0.1.0\"\n";

/// Exports what a plugin exports, by name alone.
const PLUGIN: &str = r#"(component
    (;imports;)
    (core module $module (func (export "f")) (;start;))
    (core instance $code (instantiate $module))
    (func $f (canon lift (core func $code "f")))
    (instance $methods (export "handle" (func $f)))
    (instance $jobs (export "run" (func $f)) (export "adopt" (func $f)))
    (instance $settings (export "apply" (func $f)))
    (export "hotshoe:plugin/methods@0.1.0" (instance $methods))
    (export "hotshoe:plugin/jobs@0.1.0" (instance $jobs))
    (export "hotshoe:plugin/settings@0.1.0" (instance $settings)))"#;
