//! A device whose state stands on a disk that is full: the real host, and what its hub sees.
//!
//! The disk needs a mount; without the right to make one these say so and stop.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use support::{Setting, World, until};

const MIB: u64 = 1 << 20;

/// A small disk in place of a directory, until it is dropped.
struct Small(PathBuf);

impl Small {
    /// Leaves so many bytes free, in whole pages.
    fn fill(&self, free: u64) {
        let mut file = File::create(self.0.join("fill")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len() - free).unwrap();
    }

    /// How many whole files are in the artifact store.
    fn downloads(&self) -> usize {
        std::fs::read_dir(self.0.join("artifacts/whole")).unwrap().count()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // The host still works in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A world whose device has begun anew on a small disk; dropped in this order.
async fn world() -> Option<(Small, World)> {
    let mut world = World::start(Setting { unsigned: "allow", ..Setting::default() }).await;
    world.device.power_off();
    let disk = world.device.path("state");
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a full disk needs the right to mount");
        return None;
    }
    let disk = Small(disk);
    let ready = world.device.times_ready();
    world.device.power_on();
    until("it is ready", || world.device.times_ready() > ready).await;
    Some((disk, world))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_on_a_full_disk_starts_and_speaks_to_its_hub() {
    let Some((disk, world)) = world().await else { return };
    disk.fill(0);
    let connections = world.device.connections();
    world.device.kill().await;
    until("it is back", || world.device.connections() > connections).await;
    let status = world.status_when(|status| status["connected"] == true).await;
    assert_eq!(status["plugins"].as_array().map(Vec::len), Some(2), "its plugins too: {status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_downloaded_before_makes_way_for_an_update() {
    let Some((disk, mut world)) = world().await else { return };
    world.update_by(world.order_unknown()).await;
    world.assert_updated().await;
    assert_eq!(disk.downloads(), 1, "it may be of use again");
    world.image.reverse();
    std::fs::write(world.path("images/image"), &world.image).unwrap();
    let mut order = world.order();
    order["version"] = json!("3.0.0");
    // Room for the order and not for all that is written down about it.
    disk.fill(MIB / 4);
    world.update_by(order).await;
    let are_done = |status: &serde_json::Value| {
        let jobs = status["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
        jobs.len() == 2 && jobs.iter().all(|job| job["state"] == "done")
    };
    world.status_when(are_done).await;
    assert!(world.device.slot("a").starts_with(&world.image), "slot a holds the image, byte for byte");
    assert_eq!(disk.downloads(), 0);
}
