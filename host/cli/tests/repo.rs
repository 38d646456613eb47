//! A repository authored with the program, and read back as a device would: by `tough`, from the files alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use bao_tree::{BaoTree, BlockSize, io::outboard::PreOrderMemOutboard};
use hotshoe_core::{
    digest::Algorithm,
    package,
    target::{Custom, Kind, ZSTD_FRAME},
};
use serde_json::Value;
use support::{Ran, bare};
use tempfile::TempDir;
use tough::{ExpirationEnforcement, Repository, RepositoryLoader, TargetName};
use url::Url;

/// A component in which nothing is but a manifest: enough to be added.
fn plugin(name: &str, version: &str) -> Vec<u8> {
    let component = b"\0asm\x0d\0\x01\0";
    let manifest = format!("name = \"{name}\"\nversion = \"{version}\"\napi = \"hotshoe:plugin@0.1.0\"\n");
    package::embed(component, &manifest)
}

/// A repository with three root keys, two of which sign.
struct Bench {
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let ran = bench.repo(&["init", "--root-keys", "3", "--threshold", "2"]).await;
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{ran:?}");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `hotshoe repo … --repo updates`.
    async fn repo(&self, arguments: &[&str]) -> Ran {
        let mut command = bare(&["repo"]);
        command.args(arguments).arg("--repo").arg(self.path("updates"));
        Ran::from(command.output().await.unwrap())
    }

    async fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.repo(arguments).await;
        assert_eq!(ran.exit, 0, "{arguments:?}: {ran:?}");
        ran
    }

    /// What a device with this root sees; it knows nothing from before.
    async fn load_with(&self, root: &[u8], safe: bool) -> tough::error::Result<Repository> {
        let url = |name| Url::from_directory_path(self.path("updates").join(name)).unwrap();
        let enforcement = if safe { ExpirationEnforcement::Safe } else { ExpirationEnforcement::Unsafe };
        let loader = RepositoryLoader::new(&root, url("metadata"), url("targets"));
        loader.expiration_enforcement(enforcement).load().await
    }

    async fn load(&self) -> Repository {
        let root = fs::read(self.path("updates/metadata/1.root.json")).unwrap();
        self.load_with(&root, true).await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let repository = self.load().await;
        let mut names: Vec<String> =
            repository.all_targets().map(|(name, _)| name.raw().to_owned()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_added_is_seen_after_publish_and_says_what_it_is() {
    let bench = Bench::new().await;
    let pump = bench.write("pump.wasm", &plugin("acme.pump", "1.2.0"));
    let image = bench.write("fw-2.0.0.img", b"an image");
    bench.done(&["add", &pump]).await;
    let arguments = ["add", &image, "--name", "gateway", "--version", "2.0.0", "--hardware", "gateway-2"];
    let ran = bench.done(&[&arguments[..], &["--json"]].concat()).await;
    assert_eq!(ran.json()["target"], "images/fw-2.0.0.img");
    assert!(bench.names().await.is_empty(), "seen before publish");
    bench.done(&["publish"]).await;
    assert_eq!(bench.names().await, ["images/fw-2.0.0.img", "plugins/acme.pump/1.2.0.wasm"]);

    let repository = bench.load().await;
    let custom = |name: &str| {
        let name = TargetName::new(name).unwrap();
        let target = repository.targets().signed.find_target(&name, false).unwrap();
        let custom = Custom::from_members(target.custom.clone()).unwrap();
        let file = bench.path("updates/targets").join(name.raw());
        assert_eq!(fs::read(&file).unwrap().len() as u64, target.length, "served by its plain name");
        assert_eq!(
            custom.digests,
            [format!("blake3:{}", blake3::hash(&fs::read(file).unwrap())).parse().unwrap()]
        );
        custom
    };
    let plugin = custom("plugins/acme.pump/1.2.0.wasm");
    assert_eq!((plugin.kind, plugin.version.as_deref()), (Kind::Plugin, Some("1.2.0")));
    let image = custom("images/fw-2.0.0.img");
    assert_eq!(
        (image.kind, image.name.as_deref(), image.hardware),
        (Kind::Firmware, Some("gateway"), vec!["gateway-2".to_owned()])
    );
}

/// An image of a few frames that a compressor likes.
fn firmware(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index / 4096 % 251) as u8).collect()
}

#[tokio::test]
async fn beside_an_image_stand_its_hash_tree_and_a_compressed_copy() {
    let bench = Bench::new().await;
    for (name, bytes) in [("big.img", 3 * 1024 * 1024 + 77), ("one.img", 1024), ("empty.img", 0)] {
        let image = firmware(bytes);
        let file = bench.write(name, &image);
        let ran = bench.done(&["add", &file, "--sequence", "41", "--zstd", "3", "--json"]).await.json();
        let custom: Custom = serde_json::from_value(ran["custom"].clone()).unwrap();
        assert_eq!((custom.outboard, custom.zstd, custom.sequence), (true, bytes > 0, Some(41)), "{ran}");

        let placed = bench.path("updates/targets/images").join(name);
        let tree = BaoTree::new(bytes as u64, BlockSize::from_chunk_log(6));
        let outboard = PreOrderMemOutboard {
            root: blake3::hash(&image),
            tree,
            data: fs::read(placed.with_extension("img.obao")).unwrap(),
        };
        assert_eq!(ran["outboard"].as_u64().unwrap(), outboard.data.len() as u64);
        let again = PreOrderMemOutboard::create(&image, BlockSize::from_chunk_log(6));
        assert_eq!(outboard, again, "{name}");
        let root = custom.digest_by(Algorithm::Blake3).unwrap();
        assert_eq!(root.bytes, *outboard.root.as_bytes());

        if custom.zstd {
            let compressed = fs::read(placed.with_extension("img.zst")).unwrap();
            assert!(compressed.len() < bytes);
            assert_eq!(ran["zstd"].as_u64().unwrap(), compressed.len() as u64);
            let mut rest = compressed.as_slice();
            for frame in image.chunks(ZSTD_FRAME as usize) {
                let length = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
                let (this, after) = rest.split_at(length);
                assert_eq!(zstd::bulk::decompress(this, frame.len()).unwrap(), frame);
                rest = after;
            }
            assert!(rest.is_empty());
        }
    }
    let none = bench.write("none.img", &firmware(99));
    let ran = bench.done(&["add", &none, "--no-outboard", "--json"]).await.json();
    assert_eq!((&ran["outboard"], &ran["zstd"]), (&Value::Null, &Value::Null));
    assert!(!bench.path("updates/targets/images/none.img.obao").exists());
    // What was left out is made up for, under the same name, since the bytes are the same.
    let ran = bench.done(&["add", &none, "--json"]).await.json();
    assert_eq!((&ran["added"], &ran["custom"]["outboard"]), (&Value::Bool(true), &Value::Bool(true)));
    let ran = bench.done(&["add", &none, "--json"]).await.json();
    assert_eq!(ran["added"], false);
    bench.done(&["publish"]).await;
}

#[tokio::test]
async fn what_stands_beside_an_image_is_in_nobodys_way() {
    let bench = Bench::new().await;
    let image = bench.write("fw.img", &firmware(5000));
    bench.done(&["add", &image, "--zstd"]).await;
    for path in ["images/fw.img.obao", "images/fw.img.zst"] {
        let ran = bench.repo(&["add", &bench.write("other", b"other"), "--path", path]).await;
        assert!(ran.exit == 65 && ran.stderr.contains("in each other's way"), "{ran:?}");
    }
    bench.done(&["add", &bench.write("other", b"other"), "--path", "images/new.img.obao"]).await;
    let ran = bench.repo(&["add", &image, "--path", "images/new.img"]).await;
    assert!(ran.exit == 65 && ran.stderr.contains("images/new.img.obao"), "{ran:?}");
    let pump = bench.write("pump.wasm", &plugin("acme.pump", "1.0.0"));
    for flag in [&["--zstd"][..], &["--sequence", "3"], &["--no-outboard"]] {
        let ran = bench.repo(&[&["add", &pump], flag].concat()).await;
        assert!(ran.exit == 64 && ran.stderr.contains("is for images"), "{ran:?}");
    }
    // A compressed copy that would be larger is not kept.
    let noise = bench.write("noise.img", blake3::hash(b"noise").as_bytes());
    let ran = bench.done(&["add", &noise, "--zstd", "--json"]).await;
    assert!(
        ran.stderr.contains("does not get smaller") && ran.json()["custom"]["zstd"] == Value::Null,
        "{ran:?}"
    );
}

#[tokio::test]
async fn keys_lie_apart_and_are_their_owners_alone() {
    let bench = Bench::new().await;
    let keys = bench.path("updates.keys");
    assert_eq!(mode(&keys), 0o700);
    for name in ["root-1", "root-2", "root-3", "targets", "snapshot", "timestamp"] {
        assert_eq!(mode(&keys.join(format!("{name}.pem"))), 0o600, "{name}");
    }
    let within = bench.path("updates/keys");
    let ran = bench.repo(&["publish", "--keys", within.to_str().unwrap()]).await;
    assert_eq!(ran.exit, 64);
    assert!(ran.stderr.contains("the keys may not lie within the repository"), "{ran:?}");
    let ran = bench.repo(&["init"]).await;
    assert_eq!(ran.exit, 73);
    assert!(ran.stderr.contains("is a repository already"), "{ran:?}");
}

#[tokio::test]
async fn publishing_takes_no_root_key() {
    let bench = Bench::new().await;
    for number in 1..=3 {
        fs::remove_file(bench.path(&format!("updates.keys/root-{number}.pem"))).unwrap();
    }
    bench.done(&["add", &bench.write("a.wasm", &plugin("a", "1.0.0"))]).await;
    bench.done(&["publish"]).await;
    assert_eq!(bench.names().await, ["plugins/a/1.0.0.wasm"]);
    fs::remove_file(bench.path("updates.keys/timestamp.pem")).unwrap();
    let before = fs::read(bench.path("updates/metadata/timestamp.json")).unwrap();
    let ran = bench.repo(&["publish"]).await;
    assert_eq!(ran.exit, 77);
    assert!(ran.stderr.contains("signing the timestamp takes 1 of the keys"), "{ran:?}");
    assert_eq!(fs::read(bench.path("updates/metadata/timestamp.json")).unwrap(), before);
    assert!(!bench.path("updates/metadata/3.snapshot.json").exists());
}

#[tokio::test]
async fn a_root_key_is_replaced_and_old_devices_follow() {
    let bench = Bench::new().await;
    let first = fs::read(bench.path("updates/metadata/1.root.json")).unwrap();
    // The key that is replaced may be lost: two of three are left.
    fs::remove_file(bench.path("updates.keys/root-1.pem")).unwrap();
    let ran = bench.done(&["rotate-root", "--replace", "root-1", "--json"]).await;
    assert_eq!(ran.json()["version"], 2);
    let second = fs::read(bench.path("updates/metadata/2.root.json")).unwrap();
    for root in [&first, &second] {
        assert_eq!(bench.load_with(root, true).await.unwrap().root().signed.version.get(), 2);
    }
    let keys = |bytes: &[u8]| -> Vec<Value> {
        let root: Value = serde_json::from_slice(bytes).unwrap();
        root["signed"]["roles"]["root"]["keyids"].as_array().unwrap().clone()
    };
    assert_eq!(keys(&first).iter().filter(|key| keys(&second).contains(key)).count(), 2);
    // With one key of the old root alone nothing can be changed, and no key is made in vain.
    fs::remove_file(bench.path("updates.keys/root-2.pem")).unwrap();
    fs::remove_file(bench.path("updates.keys/root-3.pem")).unwrap();
    let ran = bench.repo(&["rotate-root", "--replace", "root-2"]).await;
    assert_eq!(ran.exit, 77);
    assert!(ran.stderr.contains("signing the root takes 2 of the keys"), "{ran:?}");
    assert!(
        !bench.path("updates.keys/root-5.pem").exists()
            && !bench.path("updates/metadata/3.root.json").exists()
    );
}

#[tokio::test]
async fn a_key_of_what_devices_see_is_replaced_and_nothing_else_becomes_visible() {
    let bench = Bench::new().await;
    let known = bench.path("known");
    fs::create_dir(&known).unwrap();
    let first = fs::read(bench.path("updates/metadata/1.root.json")).unwrap();
    let url = |name| Url::from_directory_path(bench.path("updates").join(name)).unwrap();
    // A device that remembers what it has seen.
    let device = async || {
        let loader = RepositoryLoader::new(&first, url("metadata"), url("targets"));
        loader.datastore(known.clone()).load().await.unwrap().all_targets().count()
    };
    assert_eq!(device().await, 0);
    let image = bench.write("fw.img", b"image");
    bench.done(&["add", &image, "--version", "1"]).await;
    for name in ["timestamp", "snapshot"] {
        let ran = bench.done(&["rotate-root", "--replace", name]).await;
        assert!(ran.stdout.contains(&format!("{name} counts no more")), "{ran:?}");
        fs::remove_file(bench.path(&format!("updates.keys/{name}.pem"))).unwrap();
        assert_eq!(device().await, 0);
    }
    let ran = bench.repo(&["rotate-root", "--replace", "targets"]).await;
    assert!(ran.exit == 75 && ran.stderr.contains("changes that devices do not see yet"), "{ran:?}");
    bench.done(&["publish"]).await;
    // The key itself may be lost.
    fs::remove_file(bench.path("updates.keys/targets.pem")).unwrap();
    bench.done(&["rotate-root", "--replace", "targets"]).await;
    assert_eq!(device().await, 1);
    let image = bench.write("fw2.img", b"another");
    bench.done(&["add", &image, "--version", "2"]).await;
    bench.done(&["publish"]).await;
    assert_eq!(device().await, 2);

    // What else has to be signed anew is asked for before anything is changed.
    fs::remove_file(bench.path("updates.keys/timestamp-1.pem")).unwrap();
    let ran = bench.repo(&["rotate-root", "--replace", "snapshot-1"]).await;
    assert!(ran.exit == 77 && ran.stderr.contains("signing the timestamp takes 1"), "{ran:?}");
    assert!(!bench.path("updates.keys/snapshot-2.pem").exists());
    assert!(!bench.path("updates/metadata/5.root.json").exists());
    let ran = bench.repo(&["rotate-root", "--replace", "timestamp"]).await;
    assert!(ran.exit == 64 && ran.stderr.contains("none of the root's keys"), "{ran:?}");
}

#[tokio::test]
async fn a_replacement_that_breaks_off_after_the_root_is_mended_by_signing_anew() {
    let bench = Bench::new().await;
    let before = fs::read(bench.path("updates/metadata/timestamp.json")).unwrap();
    bench.done(&["rotate-root", "--replace", "targets"]).await;
    fs::write(bench.path("updates/metadata/timestamp.json"), before).unwrap();
    for file in ["2.targets.json", "2.snapshot.json"] {
        fs::remove_file(bench.path("updates/metadata").join(file)).unwrap();
    }
    let root = fs::read(bench.path("updates/metadata/1.root.json")).unwrap();
    assert!(bench.load_with(&root, true).await.is_err());
    let ran = bench.repo(&["publish"]).await;
    assert!(ran.exit == 65 && ran.stderr.contains("hotshoe repo refresh --role targets"), "{ran:?}");
    let ran = bench.done(&["refresh", "--role", "targets"]).await;
    assert!(ran.stderr.contains("was not signed by its present keys"), "{ran:?}");
    bench.done(&["publish"]).await;
    assert!(bench.names().await.is_empty());
}

#[tokio::test]
async fn a_vendor_signs_their_own_names_and_no_others() {
    let bench = Bench::new().await;
    let key = bench.path("acme.pem").to_str().unwrap().to_owned();
    let made = bare(&["repo", "key", &key]).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = format!("{key}.pub");
    bench.done(&["delegate", "acme", "--paths", "plugins/acme.*", "images/acme/*", "--key", &public]).await;
    let ran = bench.repo(&["publish"]).await;
    assert_eq!(ran.exit, 75);
    assert!(ran.stderr.contains("acme has signed nothing yet"), "{ran:?}");

    // The vendor has no key but their own.
    let none = bench.path("none").to_str().unwrap().to_owned();
    let vendor = ["--role", "acme", "--keys", &none, "--key", &key];
    let pump = bench.write("pump.wasm", &plugin("acme.pump", "1.0.0"));
    let other = bench.write("other.wasm", &plugin("other.pump", "1.0.0"));
    let image = bench.write("fw.img", b"image");
    bench.done(&[&["add", &pump], &vendor[..]].concat()).await;
    bench.done(&[&["add", &image, "--path", "images/acme/gateway/fw.img"], &vendor[..]].concat()).await;
    for outside in
        [vec!["add", &other], vec!["add", &image], vec!["add", &image, "--path", "images/acmes/fw.img"]]
    {
        let ran = bench.repo(&[&outside[..], &vendor[..]].concat()).await;
        assert_eq!(ran.exit, 77, "{ran:?}");
        assert!(ran.stderr.contains("acme may sign plugins/acme.*"), "{ran:?}");
    }
    assert!(!bench.path("updates/targets/plugins/other.pump").exists());
    let ran = bench.repo(&["add", &other, "--keys", &none, "--key", &key]).await;
    assert!(ran.exit == 77 && ran.stderr.contains("signing the list of targets takes 1"), "{ran:?}");
    bench.done(&["publish"]).await;
    assert_eq!(bench.names().await, ["images/acme/gateway/fw.img", "plugins/acme.pump/1.0.0.wasm"]);

    // The key is taken from the vendor and given to another; what the older one signed counts no more.
    let newer = bench.path("newer.pem").to_str().unwrap().to_owned();
    assert!(bare(&["repo", "key", &newer]).output().await.unwrap().status.success());
    bench.done(&["delegate", "acme", "--paths", "plugins/acme.*", "--key", &format!("{newer}.pub")]).await;
    let ran = bench.repo(&["publish"]).await;
    assert!(ran.exit == 65 && ran.stderr.contains("hotshoe repo refresh --role acme"), "{ran:?}");
    let ran = bench.done(&["refresh", "--role", "acme", "--key", &newer]).await;
    assert!(ran.stderr.contains("look at it before you publish"), "{ran:?}");
    let ran = bench.repo(&["publish"]).await;
    assert!(ran.stderr.contains("acme signed images/acme/gateway/fw.img, which is outside"), "{ran:?}");
    bench.done(&["delegate", "acme", "--remove"]).await;
    bench.done(&["publish"]).await;
    assert!(bench.names().await.is_empty());
}

#[tokio::test]
async fn a_name_never_changes_its_content() {
    let bench = Bench::new().await;
    let pump = bench.write("pump.wasm", &plugin("acme.pump", "1.0.0"));
    bench.done(&["add", &pump]).await;
    let ran = bench.done(&["add", &pump, "--json"]).await;
    assert_eq!(ran.json()["added"], false);
    let mut other = plugin("acme.pump", "1.0.0");
    other.extend([0, 2, 1, b'x']);
    bench.write("pump.wasm", &other);
    let ran = bench.repo(&["add", &pump]).await;
    assert_eq!(ran.exit, 65);
    assert!(ran.stderr.contains("with other bytes") && ran.stderr.contains("raise the version"), "{ran:?}");
    let ran = bench.repo(&["add", &bench.write("core.wasm", b"\0asm\x01\0\0\0")]).await;
    assert!(ran.exit == 65 && ran.stderr.contains("not a component"), "{ran:?}");
    let ran = bench.repo(&["add", &bench.write("fw.img", b"x"), "--path", "keys/x"]).await;
    assert!(ran.exit == 64 && ran.stderr.contains("begins with `plugins/` or `images/`"), "{ran:?}");
}

#[tokio::test]
async fn what_expires_is_refreshed_and_nothing_else_becomes_visible() {
    let bench = Bench::new().await;
    bench.done(&["publish", "--days", "1"]).await;
    let ran = bench.done(&["refresh", "--within", "0", "--json"]).await;
    assert_eq!(ran.json()["refreshed"], false);
    bench.done(&["add", &bench.write("a.wasm", &plugin("a", "1.0.0"))]).await;
    let before = bench.load().await;
    bench.done(&["refresh", "--days", "30"]).await;
    let after = bench.load().await;
    assert!(after.timestamp().signed.expires > before.timestamp().signed.expires);
    assert!(after.snapshot().signed.version > before.snapshot().signed.version);
    assert!(bench.names().await.is_empty(), "refresh published");
    let issued = &after.timestamp().signed._extra[hotshoe_core::target::ISSUED_MEMBER];
    assert!(issued.as_str().unwrap().ends_with('Z'), "{issued}");
}

/// Every file that a publish writes is taken away again, from the last one back: what is left is a whole repository.
#[tokio::test]
async fn a_publish_that_breaks_off_changes_nothing() {
    let bench = Bench::new().await;
    bench.done(&["add", &bench.write("a.wasm", &plugin("a", "1.0.0"))]).await;
    bench.done(&["publish"]).await;
    let timestamp = bench.path("updates/metadata/timestamp.json");
    let before = fs::read(&timestamp).unwrap();
    bench.done(&["add", &bench.write("b.wasm", &plugin("b", "1.0.0"))]).await;
    assert_eq!(bench.names().await, ["plugins/a/1.0.0.wasm"]);
    bench.done(&["publish"]).await;
    assert_eq!(bench.names().await.len(), 2);
    // Broken off between the snapshot and the timestamp.
    fs::write(&timestamp, before).unwrap();
    assert_eq!(bench.names().await, ["plugins/a/1.0.0.wasm"]);
    fs::remove_file(bench.path("updates/metadata/3.snapshot.json")).unwrap();
    assert_eq!(bench.names().await, ["plugins/a/1.0.0.wasm"]);
    bench.done(&["publish"]).await;
    assert_eq!(bench.names().await.len(), 2);
}
