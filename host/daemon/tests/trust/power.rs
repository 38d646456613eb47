//! Power cuts: after each step of a refresh, and with each file torn.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    author::{IMAGE, Key, ROOT, Repo},
    device::Device,
};

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Each file is replaced whole or not at all, and in this order: so these are all the states that a cut can leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_any_two_steps_leaves_a_device_that_goes_on() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    device.resolve(IMAGE).await.unwrap();
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state = device.path().join("main");
    copy(&state, before.path());

    repo.rotate("root", &[Key(4), Key(5)], 2, &[ROOT[0], ROOT[1], Key(4), Key(5)]);
    repo.add("acme", IMAGE, b"another image", json!({ "kind": "firmware" }));
    repo.advance();
    device.serve(&repo);
    let new = device.resolve(IMAGE).await.unwrap();
    copy(&state, after.path());
    let role =
        fs::read_dir(after.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let role = { role }.find(|name| name.starts_with("role-")).unwrap();

    let steps = ["root", "timestamp", "snapshot", "targets", "whole", &role];
    for done in 0..=steps.len() {
        let cut = || {
            copy(before.path(), &state);
            for step in &steps[..done] {
                fs::copy(after.path().join(step), state.join(step)).unwrap();
            }
        };
        cut();
        device.vanish();
        match device.resolve(IMAGE).await {
            Ok(target) => assert_eq!(target == new, done == steps.len(), "after {done} steps"),
            // All but the vendor's role is new, and that one cannot be fetched.
            Err(error) => assert_eq!((error.code(), done), ("unreachable", 5), "{error}"),
        }
        cut();
        device.serve(&repo);
        assert_eq!(device.resolve(IMAGE).await.unwrap(), new, "after {done} steps");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_torn_or_gone_is_fetched_again() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    repo.rotate("root", &[Key(4), Key(5)], 2, &[ROOT[0], ROOT[1], Key(4), Key(5)]);
    repo.advance();
    device.serve(&repo);
    let whole = device.resolve(IMAGE).await.unwrap();
    let state = device.path().join("main");
    let names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 6);
    for path in names {
        let bytes = fs::read(&path).unwrap();
        for torn in [&bytes[..bytes.len() / 2], b"", &vec![0; bytes.len()]] {
            fs::write(&path, torn).unwrap();
            assert_eq!(device.resolve(IMAGE).await.unwrap(), whole, "{}", path.display());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(device.resolve(IMAGE).await.unwrap(), whole, "{}", path.display());
    }
}
