//! What a device takes: the controls of the table of attacks, and what an owner does after one.

use std::time::Duration;

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::trust::{Repositories, TrustError};
use serde_json::json;

use crate::{
    author::{IMAGE, Key, PUMP, ROOT, Repo, Served, TARGETS, sha256},
    device::Device,
};

#[tokio::test]
async fn plugins_and_images_of_a_signed_repository() {
    let repo = Repo::new();
    let device = Device::new(&repo).await;
    let trust = device.start();
    let image = trust.resolve(&device.url(IMAGE)).await.unwrap().unwrap();
    assert_eq!((image.repository.as_str(), image.name.as_str(), image.length), ("main", IMAGE, 9));
    assert_eq!(image.digest.hex(), sha256(b"the image"));
    assert!(image.is_firmware() && image.custom.version.as_deref() == Some("2.0.0"));
    image.agrees(Some(&image.digest), Some(9), Some("2.0.0")).unwrap();
    image.agrees(None, None, None).unwrap();

    let name = "acme.pump".parse().unwrap();
    let newest = trust.plugin(None, &name, None).await.unwrap();
    assert_eq!(newest.name, PUMP, "a pre-release is not the newest");
    let early = trust.plugin(Some("main"), &name, Some(&"1.3.0-rc.1".parse().unwrap())).await.unwrap();
    assert_eq!(trust.read(&early).await.unwrap(), b"1.3.0-rc.1");

    assert_eq!(trust.vouch(&newest.digest).await.unwrap(), Some(newest));
    assert_eq!(trust.vouch(&image.digest).await.unwrap().unwrap().name, IMAGE);
    let nobody = format!("sha256:{}", sha256(b"something else")).parse().unwrap();
    assert_eq!(trust.vouch(&nobody).await.unwrap(), None);
}

#[tokio::test]
async fn a_disk_that_does_not_read_is_no_word_that_nobody_vouches() {
    let device = Device::new(&Repo::new()).await;
    let trust = device.start();
    let nobody = format!("sha256:{}", sha256(b"something else")).parse().unwrap();
    assert_eq!(trust.vouch(&nobody).await.unwrap(), None);
    let kept = device.path().join("main/timestamp");
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let error = trust.vouch(&nobody).await.unwrap_err();
    assert!(matches!(error, TrustError::State(_)), "{error}");
}

#[tokio::test]
async fn only_urls_under_the_targets_are_covered() {
    let device = Device::new(&Repo::new()).await;
    let trust = device.start();
    for url in ["https://elsewhere.example/targets/images/acme/fw-2.0.0.img"]
        .map(|url| url.parse().unwrap())
        .into_iter()
        .chain([
            device.server.url("/other/fw.img"),
            device.server.url("/targets/"),
            device.server.url("/targetsx"),
        ])
    {
        assert_eq!(trust.resolve(&url).await.unwrap(), None, "{url}");
    }
    let signed = device.server.url(&format!("/targets/{IMAGE}?sig=secret"));
    assert!(trust.resolve(&signed).await.unwrap().is_some(), "what a server asks for beside does not matter");
    assert_eq!(Repositories::none().resolve(&signed).await.unwrap(), None);
    let unknown = trust.plugin(Some("other"), &"a".parse().unwrap(), None).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no repository `other`; configured: main");
}

#[tokio::test]
async fn roots_are_followed_one_by_one_even_when_they_have_expired() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    repo.role("root")["expires"] = json!("2026-12-01T00:00:00Z");
    repo.rotate("root", &[Key(4), Key(5), Key(6)], 2, &[ROOT[0], ROOT[1], Key(4), Key(5)]);
    repo.role("root")["expires"] = json!("2030-01-01T00:00:00Z");
    repo.rotate("root", &[Key(7), Key(8)], 1, &[Key(5), Key(6), Key(7)]);
    repo.rotate("targets", &[Key(13)], 1, &[Key(8)]);
    repo.advance();
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap();
    device.resolve(IMAGE).await.unwrap();
    let root =
        device.start().kept("main").await.unwrap().into_iter().find(|kept| kept.role == "root").unwrap();
    assert!(root.text.contains("\"version\":4"), "{}", root.text);
    repo.signers.insert("targets".into(), vec![TARGETS]);
    repo.advance();
    device.serve(&repo);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "signature", "the old key is worth nothing");
}

/// A repository of the same names that was made anew, with other keys for all that the operator signs.
fn made_anew() -> Repo {
    let mut repo = Repo::new();
    for (role, key) in
        [("root", Key(41)), ("timestamp", Key(42)), ("snapshot", Key(43)), ("targets", Key(44))]
    {
        repo.rotate(role, &[key], 1, &[Key(41)]);
    }
    repo.files.retain(|file, _| !file.ends_with("root.json"));
    repo.role("root")["version"] = json!(1);
    repo.put("root");
    repo.release();
    repo
}

/// The way out where keys were lost, or stolen beyond the threshold.
#[tokio::test]
async fn another_root_in_the_image_ends_the_one_before_whatever_its_number() {
    let mut repo = Repo::new();
    let mut device = Device::new(&repo).await;
    let first = repo.clone();
    repo.rotate("root", &[Key(4), Key(5), Key(6)], 2, &[ROOT[0], ROOT[1], Key(4), Key(5)]);
    repo.advance();
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap();

    let anew = made_anew();
    device.serve(&anew);
    device.resolve(IMAGE).await.unwrap_err();
    device.give(&anew);
    device.resolve(IMAGE).await.unwrap();
    device.vanish();
    device.resolve(IMAGE).await.unwrap();
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap_err();

    // An image with the first root, or with the second, which led to the one that is kept, brings no old keys back.
    for older in [&first, &repo] {
        device.give(older);
        device.serve(&repo);
        device.resolve(IMAGE).await.unwrap();
        device.serve(&anew);
        device.resolve(IMAGE).await.unwrap_err();
    }
    device.give(&first);
    let root =
        device.start().kept("main").await.unwrap().into_iter().find(|kept| kept.role == "root").unwrap();
    assert!(root.text.contains("\"version\":2"), "{}", root.text);
}

/// Recovery from a fast-forward attack (specification 1.5.2, 5.3.11).
#[tokio::test]
async fn new_keys_end_a_fast_forward_attack() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    device.resolve(IMAGE).await.unwrap();
    let mut stolen = repo.clone();
    for role in ["timestamp", "snapshot"] {
        stolen.role(role)["version"] = json!(u32::MAX);
    }
    stolen.release_snapshot();
    device.serve(&stolen);
    device.resolve(IMAGE).await.unwrap();
    repo.advance();
    device.serve(&repo);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "rollback");
    repo.rotate("timestamp", &[Key(14)], 1, &ROOT[..2]);
    repo.rotate("snapshot", &[Key(15)], 1, &ROOT[..2]);
    repo.release();
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap();
}

#[tokio::test]
async fn without_its_server_a_device_goes_by_what_it_verified_until_that_expires() {
    let repo = Repo::new();
    let mut device = Device::new(&repo).await;
    device.resolve(IMAGE).await.unwrap();
    for gone in [
        Served::Status("503 Service Unavailable"),
        Served::Status("404 Not Found"),
        Served::Stall,
        Served::Redirect("https://captive.example/login"),
    ] {
        device.serve_all(gone.clone());
        device.resolve(IMAGE).await.unwrap_or_else(|error| panic!("{gone:?}: {error}"));
    }
    device.distrust();
    device.resolve(IMAGE).await.unwrap();
    device.clock.store(1_900_000_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "freeze");
}

/// A new timestamp whose snapshot never comes takes away nothing.
#[tokio::test]
async fn half_a_refresh_takes_nothing_away() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    device.resolve(IMAGE).await.unwrap();
    repo.advance();
    repo.serve(&repo.file("snapshot"), Served::Status("503 Service Unavailable"));
    device.serve(&repo);
    device.resolve(IMAGE).await.unwrap();
    device.vanish();
    device.resolve(IMAGE).await.unwrap();
}

#[tokio::test]
async fn a_server_is_not_asked_again_at_once() {
    let repo = Repo::new();
    let device = Device::new(&repo).await;
    let mut settings = device.settings();
    settings.fresh_for = Duration::from_secs(3600);
    let trust = Repositories::open(settings, &device.state()).unwrap();
    trust.resolve(&device.url(IMAGE)).await.unwrap();
    let asked = device.server.requests().len();
    trust.resolve(&device.url(IMAGE)).await.unwrap();
    trust.clone().plugin(None, &"acme.pump".parse().unwrap(), None).await.unwrap();
    assert_eq!(device.server.requests().len(), asked);
}

/// A repository on a stick: the same trust, and what was seen there counts for the network too.
#[tokio::test]
async fn the_same_repository_from_a_directory() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    let first = repo.clone();
    repo.advance();
    let stick = tempfile::tempdir().unwrap();
    for (path, served) in &repo.files {
        let Served::Bytes(bytes) = served else { continue };
        let path = stick.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    device.vanish();
    let dir = Dir::open_ambient_dir(stick.path(), ambient_authority()).unwrap();
    let trust = device.start();
    let offline = trust.offline(&dir).unwrap();
    let plugin = offline.plugin(None, &"acme.pump".parse().unwrap(), None).await.unwrap();
    assert_eq!(offline.read(&plugin).await.unwrap(), b"1.2.0");
    assert_eq!(device.server.requests().len(), 0, "nothing was asked of the network");
    std::fs::write(stick.path().join("targets").join(PUMP), b"1.2.x").unwrap();
    assert!(matches!(offline.read(&plugin).await, Err(TrustError::WrongBytes { .. })));
    device.serve(&first);
    assert_eq!(device.resolve(IMAGE).await.unwrap_err().code(), "rollback");
}

#[tokio::test]
async fn a_root_that_was_tampered_with_is_refused_at_the_start() {
    let device = Device::new(&Repo::new()).await;
    let mut settings = device.settings();
    let root = String::from_utf8(settings.repositories[0].root.clone()).unwrap();
    settings.repositories[0].root = root.replace("\"version\":1", "\"version\":7").into_bytes();
    let Err(error) = Repositories::open(settings, &device.state()) else { panic!() };
    assert_eq!(error.code(), "signature");
}
