//! Fetching over real TLS from servers that break every rule.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod kill;
mod lies;
mod memory;
mod reach;
mod server;
mod trust;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::digest::{Algorithm, Digest};
use hotshoed::{
    artifact::{Artifact, ArtifactStore, hash::Hasher},
    fetch::{FetchError, FetchRequest, FetchSettings, Fetcher, Trust},
};
use server::Server;
use url::Url;

/// The disk of a device.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn store(&self, limit: u64) -> ArtifactStore {
        store(self.0.path(), limit)
    }
}

pub(crate) fn store(path: &std::path::Path, limit: u64) -> ArtifactStore {
    ArtifactStore::open(Dir::open_ambient_dir(path, ambient_authority()).unwrap(), limit).unwrap()
}

pub(crate) const LIMIT: u64 = 64 * 1024 * 1024;

/// Hours in milliseconds.
pub(crate) fn quick() -> FetchSettings {
    FetchSettings {
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_millis(500),
        minimum_rate: 10_000,
        rate_window: Duration::from_millis(200),
        retries: 3,
        progress_step: 64 * 1024,
        backoff: Duration::from_millis(2),
        longest_backoff: Duration::from_millis(10),
        progress_every: Duration::ZERO,
        random: Arc::new(|| 0.5),
        ..FetchSettings::default()
    }
}

pub(crate) fn fetcher(store: &ArtifactStore, server: &Server) -> Fetcher {
    Fetcher::new(store.clone(), Arc::clone(&server.roots), quick()).unwrap()
}

pub(crate) fn request(url: Url) -> FetchRequest {
    FetchRequest { url, digest: None, size: None, trust: Trust::File }
}

/// Everything on the test's own server is granted, nothing else.
pub(crate) fn granted(server: &Server) -> impl Fn(&Url) -> Result<(), String> + Send + Sync + 'static {
    let port = server.port;
    move |url| match url.port() {
        Some(asked) if asked == port => Ok(()),
        _ => Err(format!("{url} is not granted")),
    }
}

/// One fetch with a fresh process' worth of memory.
pub(crate) async fn fetch(
    store: &ArtifactStore,
    server: &Server,
    request: &FetchRequest,
) -> Result<Artifact, FetchError> {
    fetcher(store, server).fetch(request, &granted(server), &|_, _| {}).await
}

pub(crate) fn content(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(0x9E37_79B9) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

pub(crate) fn all(artifact: &Artifact) -> Vec<u8> {
    artifact.read(0, usize::MAX).unwrap()
}

#[tokio::test]
async fn an_honest_server() {
    let bytes = content(1, 3_000_000);
    let served = bytes.clone();
    let server = Server::start(move |request, _| server::honest(request, &served, "\"1\"")).await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let wanted =
        FetchRequest { digest: Some(digest(&bytes)), size: Some(3_000_000), ..request(server.url("/a.img")) };
    let artifact = fetcher(&store, &server)
        .fetch(&wanted, &granted(&server), &move |done, total| listener.lock().unwrap().push((done, total)))
        .await
        .unwrap();
    assert_eq!(all(&artifact), bytes);
    assert_eq!(artifact.origin(), server.url("/a.img").as_str());
    let told = told.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&(3_000_000, Some(3_000_000))));
    assert!(told.len() > 1 && told.is_sorted(), "{told:?}");
    // Asked again it does not go to the network, nor does a later process.
    fetch(&store, &server, &wanted).await.unwrap();
    drop(artifact);
    fetch(&disk.store(LIMIT), &server, &wanted).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    let wrong = FetchRequest { size: Some(1), ..wanted };
    assert!(matches!(
        fetch(&store, &server, &wrong).await,
        Err(FetchError::Size { expected: 1, actual: 3_000_000 })
    ));
}

#[tokio::test]
async fn without_a_digest_the_server_is_asked_whether_the_file_changed() {
    let server = Server::start(|request, number| {
        if number < 2 {
            server::honest(request, b"one", "\"1\"")
        } else {
            server::honest(request, b"two!", "\"2\"")
        }
    })
    .await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    for (expected, sent) in [("one", 3), ("one", 3), ("two!", 7)] {
        let artifact = fetch(&store, &server, &request(server.url("/a.img"))).await.unwrap();
        assert_eq!((all(&artifact), server.sent()), (expected.as_bytes().to_vec(), sent));
        assert_eq!(artifact.digest(), &digest(expected.as_bytes()));
    }
}

#[tokio::test]
async fn two_fetches_of_one_file_are_one() {
    let bytes = content(1, 1_000_000);
    let served = bytes.clone();
    let server = Server::start(move |request, _| server::honest(request, &served, "\"1\"")).await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img")) };
    let fetches = (0..4).map(|_| fetch(&store, &server, &wanted));
    for artifact in futures_util::future::join_all(fetches).await {
        assert_eq!(all(&artifact.unwrap()), bytes);
    }
    assert_eq!((server.requests().len(), server.sent()), (1, 1_000_000));
}

#[tokio::test]
async fn a_dropped_fetch_goes_on_where_it_was() {
    let bytes = content(1, 2_000_000);
    let served = bytes.clone();
    let server = Server::start(move |request, number| {
        let mut answer = server::honest(request, &served, "\"1\"");
        if number == 0 {
            answer.steps = vec![server::Step::Send(served[..1_500_000].to_vec()), server::Step::Stall];
        }
        answer
    })
    .await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img")) };
    let settings = FetchSettings { stall_timeout: Duration::from_secs(60), ..quick() };
    let patient = Fetcher::new(store.clone(), Arc::clone(&server.roots), settings).unwrap();
    let (received, mut told) = tokio::sync::watch::channel(0);
    let (wish, allow) = (wanted.clone(), granted(&server));
    let fetch_task = tokio::spawn(async move {
        patient.fetch(&wish, &allow, &move |done, _| received.send(done).unwrap_or_default()).await.map(drop)
    });
    told.wait_for(|done| *done == 1_500_000).await.unwrap();
    fetch_task.abort();
    assert_eq!(all(&fetch(&store, &server, &wanted).await.unwrap()), bytes);
    assert_eq!(server.requests()[1].header("range"), Some("bytes=1500000-"), "what was received was kept");
    assert_eq!(server.sent(), 2_000_000);
}
