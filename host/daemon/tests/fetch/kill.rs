//! `kill -9` in the middle of a download: a real process, really killed; the next one goes on.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hotshoe_core::digest::Digest;
use hotshoed::fetch::{FetchRequest, FetchSettings, Fetcher};
use rustls::RootCertStore;

use crate::{
    Disk, LIMIT, all, content, digest, fetch, quick, request,
    server::{Server, Step, honest},
    store,
};

const MIB: usize = 1024 * 1024;
const SIZE: usize = 40 * MIB;
/// Where the server stops talking to the process that will be killed.
const PAUSE: usize = 30 * MIB;
/// What `artifact` flushes at a time: the most that a crash may cost, plus what is under way.
const STEP: usize = 8 * MIB;

/// What the killed process is told, in its environment: URL, directory, certificate, digest.
const CHILD: &str = "HOTSHOE_TEST_DOWNLOAD";

/// Not a test of its own: the process that [`after_kill_9_only_the_tail_is_fetched_again`] starts and kills.
#[test]
fn child_that_downloads() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<_> = told.split('|').map(str::to_owned).collect();
    let [url, directory, certificate, digest] = told.as_slice() else { panic!("{told:?}") };
    let mut roots = RootCertStore::empty();
    roots.add(std::fs::read(certificate).unwrap().into()).unwrap();
    let settings = FetchSettings { stall_timeout: Duration::from_secs(600), ..quick() };
    let fetcher = Fetcher::new(store(Path::new(directory), LIMIT), Arc::new(roots), settings).unwrap();
    let wanted = FetchRequest { digest: Some(digest.parse().unwrap()), ..request(url.parse().unwrap()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(fetcher.fetch(&wanted, &|_| Ok(()), &|_, _| {})).unwrap();
}

/// Bytes that the journal says are on the disk.
fn durable(directory: &Path, digest: &Digest) -> Option<usize> {
    let text = std::fs::read_to_string(directory.join("journal").join(digest.file_name())).ok()?;
    let value: serde_json::Value = serde_json::from_str(text.split_once('\n')?.1).ok()?;
    value.get("durable")?.as_u64().map(|bytes| bytes as usize)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_only_the_tail_is_fetched_again() {
    let bytes = content(3, SIZE);
    let served = bytes.clone();
    let server = Server::start(move |request, number| {
        let mut answer = honest(request, &served, "\"1\"");
        if number == 0 {
            answer.steps = vec![Step::Send(served[..PAUSE].to_vec()), Step::Stall];
        }
        answer
    })
    .await;
    let (disk, other) = (Disk::new(), tempfile::tempdir().unwrap());
    let certificate = other.path().join("ca.der");
    std::fs::write(&certificate, &server.ca).unwrap();
    let (url, digest) = (server.url("/a.img"), digest(&bytes));
    let told = format!("{url}|{}|{}|{digest}", disk.0.path().display(), certificate.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_downloads"])
        .env(CHILD, told)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    server.stalled().await;
    // Another process's disk cannot be awaited; it is asked until the last whole step is there.
    while durable(disk.0.path(), &digest).is_none_or(|bytes| bytes < PAUSE - STEP) {
        assert!(child.try_wait().unwrap().is_none(), "the download ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = durable(disk.0.path(), &digest).unwrap();
    assert!((PAUSE - STEP..=PAUSE).contains(&kept), "{kept}");

    let wanted = FetchRequest { digest: Some(digest), ..request(url) };
    let artifact = fetch(&disk.store(LIMIT), &server, &wanted).await.unwrap();
    assert!(all(&artifact) == bytes);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("range"), Some(format!("bytes={kept}-").as_str()));
    assert_eq!(
        server.sent() as usize,
        PAUSE + SIZE - kept,
        "nothing twice but the tail that was not flushed"
    );
}
