//! Signed images straight into a slot: what is sent, what is sent again, and where it comes from when its server has gone
//! bad or away.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::state::StateDir;
use serde_json::{Value, json};
use support::{Phase, Setting, World, noise, repo, until};

const CHUNK: u64 = 64 * 1024;
/// No multiple of anything.
const SIZE: usize = 8 * 1024 * 1024 + 12_345;

/// A device that takes signed images only, and their repository.
struct Signed {
    world: World,
    repository: PathBuf,
}

impl Signed {
    /// `places` are lines for the repository's table in `device.toml`; `{base}` in them is the URL of the images.
    async fn start(places: &str) -> Signed {
        let setting =
            Setting { unsigned: "deny", image: SIZE, plugins: vec!["firmware-update"], ..Setting::default() };
        let mut world = World::start(setting).await;
        let repository = world.path("images/repo");
        repo(&repository, &["init"]).await;
        repo(&repository, &["publish"]).await;
        world.device.power_off();
        let config = world.device.path("device.toml");
        let text = fs::read_to_string(&config).unwrap();
        let base = world.url("");
        let table = format!(
            "[[repositories]]\nname = \"main\"\nroot_file = \"{}/metadata/1.root.json\"\n\
             metadata = \"{base}repo/metadata/\"\ntargets = \"{base}repo/targets/\"\n{}\n\n[[plugins]]",
            repository.display(),
            places.replace("{base}", &base)
        );
        fs::write(&config, text.replacen("[[plugins]]", &table, 1)).unwrap();
        world.device.power_on();
        Signed { world, repository }
    }

    /// Signs an image under the name `fw-VERSION.img`; its file in the repository comes back.
    async fn sign(&self, version: &str, image: &[u8], flags: &[&str]) -> PathBuf {
        let name = format!("fw-{version}.img");
        let file = self.world.path(&name);
        fs::write(&file, image).unwrap();
        let words = ["add", file.to_str().unwrap(), "--version", version];
        repo(&self.repository, &[&words[..], flags].concat()).await;
        repo(&self.repository, &["publish"]).await;
        self.repository.join("targets/images").join(name)
    }

    /// Orders a signed image: its URL is all that is said.
    async fn order(&self, version: &str) {
        let uri = self.world.url(&format!("repo/targets/images/fw-{version}.img"));
        self.world.update_by(json!({ "fwPackageUri": uri })).await;
    }

    /// Waits until the device runs this image from this slot, and looks at what is in it.
    async fn assert_runs(&self, slot: &str, version: &str, image: &[u8]) {
        let runs = |status: &Value| {
            let jobs = status["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
            let slots = status["slots"].as_array().map(Vec::as_slice).unwrap_or_default();
            jobs.last().is_some_and(|job| matches!(job["state"].as_str(), Some("done" | "failed")))
                && slots
                    .iter()
                    .any(|it| it["name"] == slot && it["running"] == true && it["version"] == version)
        };
        self.world.device.until_jobs_end().await;
        self.world.status_when(runs).await;
        self.world.until_status("completed").await;
        assert!(
            self.world.device.slot(slot).starts_with(image),
            "slot {slot} holds the image, byte for byte"
        );
        assert_eq!(stored(&self.world.device.path("state/artifacts")), 0, "the artifact store is empty");
    }

    /// The answers for a file of the images' directory.
    async fn answers(&self, path: &str) -> Vec<Value> {
        self.world.hub.images().await.into_iter().filter(|answer| answer["path"] == path).collect()
    }

    /// How many bytes were sent of a file.
    async fn sent(&self, path: &str) -> u64 {
        self.answers(path).await.iter().map(|answer| answer["sent"].as_u64().unwrap()).sum()
    }

    /// How many chunks of the image in a slot are durable.
    fn durable_chunks(&self, slot: &str) -> u64 {
        let flash = Dir::open_ambient_dir(self.world.device.path("flash"), ambient_authority()).unwrap();
        let records = StateDir::new(flash).subdirectory("slots").unwrap();
        let Ok(Some(record)) = records.read::<Value>(slot) else { return 0 };
        let runs = record["chunks"].as_array().cloned().unwrap_or_default();
        runs.iter().map(|run| run[1].as_u64().unwrap() - run[0].as_u64().unwrap()).sum()
    }
}

/// All bytes of all files below a directory.
fn stored(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        bytes += if metadata.is_dir() { stored(&entry.path()) } else { metadata.len() };
    }
    bytes
}

fn length(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

/// The image with every tenth chunk changed.
fn changed(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    for chunk in image.chunks_mut(CHUNK as usize).step_by(10) {
        chunk[0] ^= 1;
    }
    image
}

const PATH: &str = "repo/targets/images/fw-2.0.0.img";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_streams_into_the_slot_and_each_byte_is_sent_once() {
    let signed = Signed::start("").await;
    let image = noise(SIZE);
    let file = signed.sign("2.0.0", &image, &[]).await;
    signed.order("2.0.0").await;
    signed.assert_runs("b", "2.0.0", &image).await;
    assert_eq!(signed.sent(PATH).await, SIZE as u64);
    assert_eq!(signed.sent(&format!("{PATH}.obao")).await, length(&file.with_extension("img.obao")));
    let reported = signed.world.reported().await;
    for time in ["logTime", "downloadComplete", "startedApplyingImage", "lastFirmwareUpdate"] {
        assert!(reported[time].is_string(), "{time}: {reported:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_in_the_middle_fetches_at_most_a_chunk_again() {
    for percent in [10, 50, 90] {
        let signed = Signed::start("").await;
        let image = noise(SIZE);
        signed.sign("2.0.0", &image, &[]).await;
        let held = SIZE as u64 * percent / 100;
        signed.world.files.hold_after(held);
        signed.order("2.0.0").await;
        signed.world.device.until_phase(Phase::Receiving).await;
        // Metadata, the tree and what TLS adds pass through the same hole.
        let expected = held.saturating_sub(256 * 1024) / CHUNK;
        until("what has come is durable", || signed.durable_chunks("b") >= expected).await;
        signed.world.device.kill().await;
        let durable = signed.durable_chunks("b");
        let before = signed.answers(PATH).await.len();
        signed.world.files.release();
        signed.assert_runs("b", "2.0.0", &image).await;
        let again: u64 = signed.answers(PATH).await[before..]
            .iter()
            .map(|answer| answer["length"].as_u64().unwrap())
            .sum();
        let missing = SIZE as u64 - durable * CHUNK;
        assert!(again <= missing + CHUNK, "{percent} %: {again} bytes for the {missing} that were missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_byte_costs_one_chunk_which_comes_from_the_mirror() {
    let signed = Signed::start("mirrors = [\"{base}mirror/\"]").await;
    let image = noise(SIZE);
    let file = signed.sign("2.0.0", &image, &[]).await;
    let mirror = signed.world.path("images/mirror/images");
    fs::create_dir_all(&mirror).unwrap();
    fs::copy(&file, mirror.join("fw-2.0.0.img")).unwrap();
    let mut spoilt = image.clone();
    spoilt[SIZE / 2] ^= 1;
    fs::write(&file, &spoilt).unwrap();
    signed.order("2.0.0").await;
    signed.assert_runs("b", "2.0.0", &image).await;
    let from_mirror = signed.sent("mirror/images/fw-2.0.0.img").await;
    assert!(from_mirror > 0, "the chunk came from the mirror");
    let sent = signed.sent(PATH).await + from_mirror;
    assert!(
        sent <= SIZE as u64 + 16 * CHUNK,
        "{sent} bytes of {SIZE}: {:#?}",
        signed.world.hub.images().await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_image_takes_what_has_not_changed_from_the_running_slot() {
    let signed = Signed::start("").await;
    let (image, next) = (noise(SIZE), changed(&noise(SIZE)));
    signed.sign("2.0.0", &image, &[]).await;
    signed.order("2.0.0").await;
    signed.assert_runs("b", "2.0.0", &image).await;
    signed.sign("2.1.0", &next, &[]).await;
    signed.order("2.1.0").await;
    signed.assert_runs("a", "2.1.0", &next).await;
    let sent = signed.sent("repo/targets/images/fw-2.1.0.img").await;
    assert!(sent * 100 <= SIZE as u64 * 12, "{sent} bytes for a tenth of {SIZE}");
    assert!(sent * 100 >= SIZE as u64 * 9, "{sent} bytes for a tenth of {SIZE}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_copy_is_what_is_sent_where_there_is_one() {
    let signed = Signed::start("").await;
    let mut image: Vec<u8> = noise(SIZE / 4).into_iter().flat_map(|byte| [byte, 0, 0, 0]).collect();
    image.extend(b"and its end");
    let file = signed.sign("2.0.0", &image, &["--zstd"]).await;
    signed.order("2.0.0").await;
    signed.assert_runs("b", "2.0.0", &image).await;
    let compressed = length(&file.with_extension("img.zst"));
    assert!(compressed < image.len() as u64 / 2);
    assert_eq!((signed.sent(PATH).await, signed.sent(&format!("{PATH}.zst")).await), (0, compressed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_that_was_put_in_later_serves_while_the_server_is_away() {
    let signed = Signed::start("directories = [\"stick\"]").await;
    let (image, next) = (noise(SIZE), changed(&noise(SIZE)));
    let files = [signed.sign("2.0.0", &image, &[]).await, signed.sign("2.1.0", &next, &[]).await];
    signed.order("2.0.0").await;
    signed.assert_runs("b", "2.0.0", &image).await;

    let stick = signed.world.device.path("stick/images");
    fs::create_dir_all(&stick).unwrap();
    for file in files {
        fs::copy(&file, stick.join(file.file_name().unwrap())).unwrap();
        let tree = file.with_extension("img.obao");
        fs::copy(&tree, stick.join(tree.file_name().unwrap())).unwrap();
    }
    signed.world.files.open(false);
    signed.world.files.cut();
    signed.order("2.1.0").await;
    signed.assert_runs("a", "2.1.0", &next).await;
    assert_eq!(signed.sent("repo/targets/images/fw-2.1.0.img").await, 0);
}
