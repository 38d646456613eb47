//! Clocks that are wrong: no lock-out, no way back in time.

use std::sync::atomic::Ordering;

use hotshoe_core::target::ISSUED_MEMBER;
use serde_json::json;

use crate::{
    author::{IMAGE, Key, NOW, ROOT, Repo},
    device::Device,
};

/// The certificate of the server is of today: a device that thought it was 1970 could not even ask.
#[tokio::test]
async fn a_device_in_1970_counts_from_its_build() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    device.clock.store(0, Ordering::Relaxed);
    device.resolve(IMAGE).await.unwrap();
    // Ended after 1970 and before the device was built.
    repo.role("timestamp")["expires"] = json!("2020-01-01T00:00:00Z");
    repo.advance();
    device.serve(&repo);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze");
}

#[tokio::test]
async fn a_clock_that_steps_back_or_ran_ahead_locks_nobody_out() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    device.resolve(IMAGE).await.unwrap();
    // Ten years ahead: all has expired.
    device.clock.store(NOW + 315_360_000, Ordering::Relaxed);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze");
    for clock in [NOW, NOW - 86_400, 1, NOW] {
        device.clock.store(clock, Ordering::Relaxed);
        repo.advance();
        device.serve(&repo);
        device.resolve(IMAGE).await.unwrap_or_else(|error| panic!("{clock}: {error}"));
    }
}

/// What the repository says of when it signed is a floor, also after a restart and without the network.
#[tokio::test]
async fn time_does_not_go_back_behind_what_was_signed() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    // 1_800_000_000 is 2027-01-15T08:00:00Z.
    repo.role("targets")["expires"] = json!("2027-02-01T00:00:00Z");
    repo.role("timestamp")[ISSUED_MEMBER] = json!("2027-01-20T00:00:00Z");
    repo.advance();
    device.serve(&repo);
    device.clock.store(0, Ordering::Relaxed);
    device.resolve(IMAGE).await.unwrap();
    repo.role("timestamp")[ISSUED_MEMBER] = json!("2027-02-02T00:00:00Z");
    repo.bump(&["timestamp"]);
    repo.release_timestamp();
    device.serve(&repo);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze", "the targets have expired by then");
    device.vanish();
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze", "and nothing makes it forget");
    // Signed anew without the member: the floor stays.
    repo.role("timestamp").as_object_mut().unwrap().remove(ISSUED_MEMBER);
    repo.bump(&["timestamp"]);
    repo.release_timestamp();
    device.serve(&repo);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze");
    repo.role("targets")["expires"] = json!("2030-01-01T00:00:00Z");
    repo.advance();
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap();
}

/// Whoever stole the timestamp key cannot move the device into the future for good.
#[tokio::test]
async fn a_floor_goes_with_the_keys_that_set_it() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    let mut stolen = repo.clone();
    stolen.role("timestamp")["expires"] = json!("2100-01-01T00:00:00Z");
    stolen.role("timestamp")[ISSUED_MEMBER] = json!("2099-01-01T00:00:00Z");
    stolen.bump(&["timestamp"]);
    stolen.release_timestamp();
    device.serve(&stolen);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze");
    repo.role("timestamp")["version"] = json!(9);
    repo.rotate("timestamp", &[Key(14)], 1, &ROOT[..2]);
    repo.release();
    device.serve(&repo);
    // The root is judged by the floor of today's keys, which is none.
    device.resolve(IMAGE).await.unwrap();
}
