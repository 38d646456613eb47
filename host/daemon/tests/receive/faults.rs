//! What goes wrong on the way, and how little that costs.

use std::sync::Arc;

use hotshoe_core::{digest::Algorithm, image::CHUNK};
use hotshoed::{
    fetch::FetchError,
    flash::FlashError,
    receive::{FolderSource, Image, ReceiveError, Receiver, Source},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Content, Device, HASHES, PATH, SIZE, SLOT, dir, install, noise, quick, receive, server::Fault, source,
};

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_cost_nothing() {
    let content = Content::new(1, SIZE);
    for places in [&[4 * MIB][..], &[MIB + 1, 3 * MIB + 70_000, 7 * MIB], &[0, 1, SIZE as u64 - 1]] {
        let server = content.serve().await;
        places.iter().for_each(|place| server.fault(PATH, Fault::Close(*place)));
        install(&Device::new(), &content, &content.image(), &[source(&server)]).await;
        assert_eq!(server.sent(PATH), SIZE as u64, "{places:?}: not one byte twice");
        assert_eq!(server.served(PATH).len(), places.len() + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_and_stalls_are_gone_on_from() {
    let content = Content::new(1, SIZE);
    for fault in [Fault::Reset(3 * MIB + 5), Fault::Stall(5 * MIB + 99)] {
        let server = content.serve().await;
        server.fault(PATH, fault);
        install(&Device::new(), &content, &content.image(), &[source(&server)]).await;
        assert_eq!(server.served(PATH).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_byte_costs_one_chunk_of_another_mirror() {
    let content = Content::new(2, SIZE);
    let (server, mirror) = (content.serve().await, content.serve().await);
    server.fault(PATH, Fault::Corrupt(5 * MIB + 17));
    install(&Device::new(), &content, &content.image(), &[source(&server), source(&mirror)]).await;
    assert_eq!((server.served(PATH).len(), server.sent(PATH)), (1, SIZE as u64));
    let asked = mirror.served(PATH);
    assert_eq!((asked.len(), mirror.sent(PATH)), (1, CHUNK));
    assert_eq!(asked[0].range, Some(format!("bytes={}-{}", 5 * MIB, 5 * MIB + CHUNK - 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mirror_it_ends_with_everything_else_kept() {
    let content = Content::new(2, SIZE);
    let server = content.serve().await;
    let place = SIZE as u64 - 100;
    server.fault(PATH, Fault::Corrupt(place));
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let error = receive(&staging, &content.image(), &[source(&server)]).await.unwrap_err();
    assert!(matches!(&error, ReceiveError::Fetch(_)) && error.to_string().contains("signed"), "{error}");
    assert!(server.sent(PATH) <= SIZE as u64 + 2 * CHUNK);
    assert!(staging.lock().unwrap().seal("1").is_err());
    drop(staging);
    // Another process, and another server by now.
    let mended = content.serve().await;
    install(&device, &content, &content.image(), &[source(&mended)]).await;
    assert_eq!(mended.sent(PATH), SIZE as u64 % CHUNK, "the last chunk alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_never_reach_the_slot() {
    let (content, other) = (Content::new(3, SIZE), Content::new(4, SIZE));
    let server = content.serve().await;
    server.put(PATH, &other.bytes);
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    receive(&staging, &content.image(), &[source(&server)]).await.unwrap_err();
    assert!(device.slot("b").iter().all(|byte| *byte == 0), "nothing was written");
    assert_eq!(server.served(PATH).len(), 1, "a server of another file is not asked again");
    let mirror = content.serve().await;
    install(&device, &content, &content.image(), &[source(&server), source(&mirror)]).await;
    assert_eq!(mirror.sent(PATH), SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_and_missing_hashes_are_had_elsewhere_or_done_without() {
    let content = Content::new(5, SIZE);
    let (server, mirror) = (content.serve().await, content.serve().await);
    server.fault(HASHES, Fault::Corrupt(1000));
    install(&Device::new(), &content, &content.image(), &[source(&server), source(&mirror)]).await;
    assert_eq!((server.sent(PATH), mirror.sent(PATH)), (SIZE as u64, 0));
    assert_eq!(mirror.sent(HASHES), content.outboard.len() as u64);
    // Nobody has them: the image is compared as a whole.
    install(&Device::new(), &content, &content.image(), &[source(&server)]).await;
    let without = crate::Server::start(&[(PATH, &content.bytes)]).await;
    install(&Device::new(), &content, &content.image(), &[source(&without)]).await;
    server.put(HASHES, &noise(9, 40 * MIB as usize));
    install(&Device::new(), &content, &content.image(), &[source(&server)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_serves_as_well() {
    let content = Content::new(6, SIZE);
    for image in [content.image(), content.bare()] {
        let server = content.serve().await;
        server.fault(PATH, Fault::NoRanges);
        server.fault(PATH, Fault::Close(2 * MIB + 5));
        install(&Device::new(), &content, &image, &[source(&server)]).await;
        assert_eq!(server.sent(PATH), SIZE as u64 + 2 * MIB + 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_directory_is_a_source() {
    let content = Content::new(7, SIZE);
    let stick = tempfile::tempdir().unwrap();
    std::fs::create_dir(stick.path().join("images")).unwrap();
    std::fs::write(stick.path().join("images/fw.img"), &content.bytes).unwrap();
    std::fs::write(stick.path().join("images/fw.img.obao"), &content.outboard).unwrap();
    let folder = |name: &str| -> Arc<dyn Source> { Arc::new(FolderSource::new(dir(stick.path()), name)) };
    install(&Device::new(), &content, &content.image(), &[folder("images/fw.img")]).await;
    install(&Device::new(), &content, &content.bare(), &[folder("images/fw.img")]).await;
    // A stick that has nothing, one with a bad spot, and a server for the rest.
    let mut bad = content.bytes.clone();
    bad[3 << 20] ^= 1;
    std::fs::write(stick.path().join("images/bad.img"), &bad).unwrap();
    let server = content.serve().await;
    let sources = [folder("images/none.img"), folder("images/bad.img"), source(&server)];
    install(&Device::new(), &content, &content.image(), &sources).await;
    assert_eq!(server.sent(PATH), CHUNK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_fit_is_refused_before_a_byte_is_fetched() {
    let content = Content::new(8, SIZE);
    let server = content.serve().await;
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let huge = Image { length: Some(SLOT + 1), ..content.image() };
    let error = receive(&staging, &huge, &[source(&server)]).await.unwrap_err();
    let full = FlashError::InsufficientSpace { needed: SLOT + 1, available: SLOT }.to_string();
    assert!(matches!(&error, ReceiveError::Flash(error) if error.to_string() == full), "{error}");
    assert!(server.served(PATH).is_empty() && server.served(HASHES).is_empty());
    // A length that is not the signed one; and one that only the server knows.
    let shorter = Image { length: Some(SIZE as u64 - 1), root: None, outboard: false, ..content.image() };
    let error = receive(&staging, &shorter, &[source(&server)]).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Fetch(FetchError::Size { .. })), "{error}");
    drop(staging);
    let large = crate::Server::start(&[(PATH, &noise(1, SLOT as usize + 1))]).await;
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let error = receive(&staging, &content.bare(), &[source(&large)]).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Flash(FlashError::InsufficientSpace { .. })), "{error}");
    assert!(device.slot("b").iter().all(|byte| *byte == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_ends_soon_and_keeps_what_came() {
    let content = Content::new(9, SIZE);
    let server = content.serve().await;
    server.fault(PATH, Fault::Stall(4 * MIB));
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let cancel = CancellationToken::new();
    let mut settings = quick();
    settings.fetch.stall_timeout = std::time::Duration::from_secs(600);
    let (image, sources) = (content.image(), [source(&server)]);
    let receiver = Receiver::new(settings);
    let (done, mut told) = tokio::sync::watch::channel(0);
    let progress = move |bytes, _| done.send(bytes).unwrap_or_default();
    let receiving = receiver.receive(Arc::clone(&staging), &image, &sources, &progress, &cancel);
    let (outcome, ()) = tokio::join!(receiving, async {
        told.wait_for(|done| *done >= 3 * MIB).await.unwrap();
        server.stalled().await;
        cancel.cancel();
    });
    assert!(matches!(outcome, Err(ReceiveError::Cancelled)));
    drop(staging);
    install(&device, &content, &image, &sources).await;
    let asked = server.served(PATH);
    assert!(server.sent(PATH) <= SIZE as u64 + MIB + CHUNK, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_deadline_it_ends_and_keeps_what_came() {
    let content = Content::new(11, SIZE);
    let server = content.serve().await;
    server.fault(PATH, Fault::Stall(4 * MIB));
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let mut settings = quick();
    settings.fetch.stall_timeout = std::time::Duration::from_secs(600);
    settings.fetch.rate_window = std::time::Duration::from_secs(600);
    settings.fetch.deadline = std::time::Duration::from_secs(2);
    let (image, sources) = (content.image(), [source(&server)]);
    let receiver = Receiver::new(settings);
    let never = CancellationToken::new();
    let error =
        receiver.receive(Arc::clone(&staging), &image, &sources, &|_, _| (), &never).await.unwrap_err();
    assert!(error.to_string().contains("[download] deadline"), "{error}");
    assert!(error.to_string().contains(&image.digest.to_string()), "{error}");
    drop(staging);
    install(&device, &content, &image, &sources).await;
    assert!(server.sent(PATH) <= SIZE as u64 + MIB + CHUNK, "{:?}", server.served(PATH));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_image_with_a_wrong_byte_is_noticed_without_hashes() {
    let content = Content::new(10, SIZE);
    let server = content.serve().await;
    server.fault(PATH, Fault::Corrupt(77));
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    receive(&staging, &content.bare(), &[source(&server)]).await.unwrap();
    let error = staging.lock().unwrap().seal("1").unwrap_err();
    assert!(matches!(error, FlashError::DigestMismatch { .. }), "{error}");
    assert_eq!(staging.lock().unwrap().written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rot_in_the_slot_costs_the_rotten_chunk() {
    let content = Content::new(11, SIZE);
    let server = content.serve().await;
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    receive(&staging, &content.image(), &[source(&server)]).await.unwrap();
    drop(staging);
    let path = device.path().join("b.img");
    let mut slot = device.slot("b");
    slot[2 << 20] ^= 1;
    std::fs::write(&path, slot).unwrap();
    // Another process seals: it reads all of it back.
    let staging = device.stage(&content, Algorithm::Sha256);
    let error = staging.lock().unwrap().seal("1").unwrap_err();
    assert!(error.to_string().contains("1 chunks are not what was written"), "{error}");
    drop(staging);
    install(&device, &content, &content.image(), &[source(&server)]).await;
    assert_eq!(server.sent(PATH), SIZE as u64 + CHUNK);
}
