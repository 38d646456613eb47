//! From a signed image to a file that is vouched for.

use std::sync::Arc;

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::{
    artifact::{ArtifactStore, Vouched},
    fetch::{FetchError, FetchRequest, FetchSettings, Fetcher, Trust},
    trust::{Place, Repositories},
};

use crate::{
    author::{IMAGE, Repo, Served},
    device::Device,
};

#[tokio::test]
async fn an_image_is_fetched_with_the_digest_and_the_size_that_are_signed() {
    let mut repo = Repo::new();
    let device = Device::new(&repo).await;
    let target = device.resolve(IMAGE).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    let store = ArtifactStore::open(dir, 1 << 20).unwrap();
    let settings = FetchSettings { retries: 0, ..FetchSettings::default() };
    let fetcher = Fetcher::new(store, Arc::clone(&device.server.roots), settings).unwrap();
    let request = FetchRequest {
        url: device.url(IMAGE),
        digest: Some(target.digest.clone()),
        size: Some(target.length),
        trust: Trust::Signed,
    };
    repo.serve(&format!("/targets/{IMAGE}"), Served::Bytes(b"the imagx".to_vec()));
    device.serve(&repo);
    let refused = fetcher.fetch(&request, &|_| Ok(()), &|_, _| {}).await;
    assert!(matches!(refused, Err(FetchError::Digest { .. })), "{refused:?}");
    repo.serve(&format!("/targets/{IMAGE}"), Served::Bytes(b"the image".to_vec()));
    device.serve(&repo);
    let artifact = fetcher.fetch(&request, &|_| Ok(()), &|_, _| {}).await.unwrap();
    assert_eq!((artifact.vouched(), artifact.digest()), (Vouched::Signed, &target.digest));
    let nothing = FetchRequest { digest: None, ..request };
    assert!(matches!(fetcher.fetch(&nothing, &|_| Ok(()), &|_, _| {}).await, Err(FetchError::Untrusted(_))));
}

#[tokio::test]
async fn places_are_the_operators_and_directories_may_come_and_go() {
    let repo = Repo::new();
    let device = Device::new(&repo).await;
    let stick = tempfile::tempdir().unwrap();
    let mut settings = device.settings();
    settings.open = Arc::new(|path| Dir::open_ambient_dir(path, ambient_authority()));
    let repository = &mut settings.repositories[0];
    repository.mirrors = vec!["https://mirror.example/t".parse().unwrap()];
    repository.directories = vec!["/nowhere/at/all".into(), stick.path().to_owned()];
    let trust = Repositories::open(settings, &device.state()).unwrap();
    let target = trust.resolve(&device.url(IMAGE)).await.unwrap().unwrap();
    let places = trust.places(&target).await;
    let shown: Vec<String> = places
        .iter()
        .map(|place| match place {
            Place::Local { path, file, .. } => format!("{} {file}", path.display()),
            Place::Server { url, base } => format!("{url} below {base}"),
        })
        .collect();
    let own = device.url("");
    assert_eq!(
        shown,
        [
            format!("{} {IMAGE}", stick.path().display()),
            format!("{} below {own}", device.url(IMAGE)),
            format!("https://mirror.example/t/{IMAGE} below https://mirror.example/t/"),
        ]
    );
    drop(stick);
    assert_eq!(trust.places(&target).await.len(), 2, "a stick that was pulled out is passed over");
}
