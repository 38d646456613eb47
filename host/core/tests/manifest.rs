//! `cases/manifest/NAME.toml` is read; with a `NAME.error` beside it, it is refused with that text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use hotshoe_core::manifest;

fn cases() -> BTreeMap<String, (String, Option<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/manifest");
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let error = fs::read_to_string(path.with_extension("error")).ok();
            cases.insert(name, (fs::read_to_string(&path).unwrap(), error));
        }
    }
    cases
}

#[test]
fn each_manifest_is_read_or_refused_as_it_says() {
    for (name, (text, error)) in cases() {
        let told = manifest::parse(&text).map_err(|error| error.to_string());
        match (told, error) {
            (Ok(_), None) => {}
            (Err(told), Some(expected)) => assert_eq!(told, expected.trim_end(), "{name}"),
            (told, expected) => panic!("{name}: {told:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn what_a_whole_manifest_says() {
    let manifest = manifest::parse(&cases()["whole"].0).unwrap();
    assert_eq!(manifest.name.as_str(), "hotshoe.firmware-update");
    assert_eq!(manifest.methods[0].timeout, Duration::from_secs(5));
    assert_eq!(manifest.methods[1].timeout, Duration::from_secs(5));
    assert_eq!(manifest.desired.as_deref(), Some("firmware"));
    assert!(manifest.grants.flash && manifest.grants.restart && manifest.grants.telemetry);
    assert_eq!(manifest.grants.storage, 65_536);
    assert_eq!(manifest.limits.memory, 32 << 20);
}

#[test]
fn the_least_manifest_asks_for_nothing() {
    let manifest = manifest::parse(&cases()["least"].0).unwrap();
    assert_eq!(manifest.grants, manifest::Asked::default());
    assert_eq!(manifest.limits, manifest::Limits::default());
    assert!(manifest.methods.is_empty() && manifest.reported.is_empty() && manifest.desired.is_none());
}
