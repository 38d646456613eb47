//! `kill -9` in the middle of an install: a real process, really killed; the next one goes on.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hotshoe_core::{digest::Algorithm, image::CHUNK};
use hotshoed::{
    fetch::{FetchSettings, Scheme},
    receive::{Image, ReceiveSettings, Web},
};
use rustls::RootCertStore;

use crate::{
    Content, Device, HASHES, PATH, SIZE, digest, flash, install, quick, receive_with,
    server::{Fault, Server},
    source, stage,
};

/// What the killed process is told, in its environment: URL, directory, digest, root, length, how often it flushes.
const CHILD: &str = "HOTSHOE_TEST_RECEIVE";

/// Not a test of its own: the process that [`killed`] starts and kills.
#[test]
fn child_that_receives() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<_> = told.split('|').collect();
    let [url, directory, digest, root, length, flush_every] = told.as_slice() else { panic!("{told:?}") };
    let settings = ReceiveSettings {
        fetch: FetchSettings { stall_timeout: Duration::from_secs(600), ..quick().fetch },
        flush_every: Duration::from_millis(flush_every.parse().unwrap()),
        ..quick()
    };
    let web = Web::new(Arc::new(RootCertStore::empty()), &settings.fetch, Scheme::AlsoPlainHttp).unwrap();
    let root = root.parse().ok();
    let image = Image {
        digest: digest.parse().unwrap(),
        length: length.parse().ok(),
        outboard: root.is_some(),
        root,
        zstd: false,
    };
    let staging = stage(&flash(Path::new(directory)), "b", &image.digest);
    let source = Arc::new(web.source(url.parse().unwrap(), Arc::new(|_| Ok(()))));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(receive_with(settings, &staging, &image, &[source])).unwrap();
}

/// Lets a process receive up to half of the image, waits until `there` likes what is in the slot, and kills it.
async fn killed(
    server: &Server,
    device: &Device,
    content: &Content,
    image: &Image,
    flush_every: u64,
    there: impl Fn(&Device) -> bool,
) {
    server.fault(PATH, Fault::Stall(SIZE as u64 / 2));
    let told = [
        server.url(PATH).to_string(),
        device.path().display().to_string(),
        digest(&content.bytes, image.digest.algorithm).to_string(),
        image.root.as_ref().map(ToString::to_string).unwrap_or_default(),
        image.length.map(|length| length.to_string()).unwrap_or_default(),
        flush_every.to_string(),
    ];
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_receives"])
        .env(CHILD, told.join("|"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    server.stalled().await;
    // Another process's disk cannot be awaited; it is asked.
    while !there(device) {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

const HALF: usize = SIZE / 2 / CHUNK as usize * CHUNK as usize;

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_no_more_than_a_chunk_is_fetched_again() {
    let content = Content::new(3, SIZE);
    // Flushed often, and not once before the kill: then only the slot knows what is there.
    for flush_every in [1, 3_600_000] {
        let (server, device) = (content.serve().await, Device::new());
        let half = content.bytes[..HALF].to_vec();
        let there = move |device: &Device| device.slot("b").starts_with(&half);
        killed(&server, &device, &content, &content.image(), flush_every, there).await;
        install(&device, &content, &content.image(), &[source(&server)]).await;
        let requests = server.served(PATH);
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert_eq!(requests[1].range, Some(format!("bytes={HALF}-")));
        assert!(server.sent(PATH) <= (SIZE + SIZE / 100) as u64 + CHUNK);
        assert_eq!(server.served(HASHES).len(), 1, "the hashes were kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_known_by_its_digest_alone_goes_on_where_its_durable_bytes_end() {
    let content = Content::new(4, SIZE);
    let (server, device) = (content.serve().await, Device::new());
    let written = |device: &Device| {
        let record = std::fs::read_to_string(device.path().join("slots/b")).unwrap_or_default();
        record.contains(&format!("[0,{}]", HALF as u64 / CHUNK))
    };
    killed(&server, &device, &content, &content.bare(), 1, written).await;
    install(&device, &content, &content.bare(), &[source(&server)]).await;
    assert_eq!(server.served(PATH)[1].range, Some(format!("bytes={HALF}-")));
    assert!(server.served(HASHES).is_empty());
    assert_eq!(content.bare().digest.algorithm, Algorithm::Sha256);
}
