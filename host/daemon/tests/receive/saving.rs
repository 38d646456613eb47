//! Fewer bytes: chunks of the running slot, and compressed streams.

use hotshoe_core::{digest::Algorithm, image::CHUNK};
use hotshoed::receive::Image;

use crate::{
    Content, Device, FRAMES, HASHES, PATH, SIZE, digest, install, noise, receive, server::Fault, source,
    stage,
};

/// The image with these chunks changed.
fn changed(content: &Content, chunks: impl IntoIterator<Item = u64>) -> Content {
    let mut bytes = content.bytes.clone();
    for chunk in chunks {
        bytes[(chunk * CHUNK) as usize + 7] ^= 1;
    }
    Content::of(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changed_chunks_are_fetched() {
    let old = Content::new(1, SIZE);
    let device = Device::new();
    let server = old.serve().await;
    install(&device, &old, &old.image(), &[source(&server)]).await;
    device.boot_into("b");
    // Three runs, one of them at the end.
    let new = changed(&old, [3, 40, 41, 42, 128]);
    let server = new.serve().await;
    let staging = stage(&device.flash(), "a", &digest(&new.bytes, Algorithm::Sha256));
    receive(&staging, &new.image(), &[source(&server)]).await.unwrap();
    staging.lock().unwrap().seal("2").unwrap();
    assert!(device.slot("a").starts_with(&new.bytes));
    let requests = server.served(PATH);
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert_eq!(server.sent(PATH), 4 * CHUNK + SIZE as u64 % CHUNK);
    assert_eq!(server.sent(HASHES), new.outboard.len() as u64);
    drop(staging);
    // And back into the other slot, with what was kept of this one.
    device.boot_into("a");
    let newest = changed(&new, [77]);
    let server = newest.serve().await;
    install(&device, &newest, &newest.image(), &[source(&server)]).await;
    assert_eq!(server.sent(PATH), CHUNK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_slot_that_rotted_is_not_copied() {
    let old = Content::new(2, SIZE);
    let device = Device::new();
    install(&device, &old, &old.image(), &[source(&old.serve().await)]).await;
    device.boot_into("b");
    let mut slot = device.slot("b");
    slot[6 << 20] ^= 1;
    std::fs::write(device.path().join("b.img"), slot).unwrap();
    let new = changed(&old, [0]);
    let server = new.serve().await;
    let staging = stage(&device.flash(), "a", &digest(&new.bytes, Algorithm::Sha256));
    receive(&staging, &new.image(), &[source(&server)]).await.unwrap();
    staging.lock().unwrap().seal("2").unwrap();
    assert!(device.slot("a").starts_with(&new.bytes));
    assert_eq!(server.sent(PATH), 2 * CHUNK);
}

/// An image that compresses, and asks to be had so.
fn compressible() -> (Content, Image) {
    let bytes = noise(3, SIZE).iter().map(|byte| b'a' + byte % 4).collect();
    let content = Content::of(bytes);
    let image = Image { zstd: true, ..content.image() };
    (content, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_image_takes_its_size_and_goes_on_at_frames() {
    let (content, image) = compressible();
    let server = content.serve_compressed().await;
    install(&Device::new(), &content, &image, &[source(&server)]).await;
    let whole = server.sent(FRAMES);
    assert!(whole < SIZE as u64 / 2 && server.served(PATH).is_empty(), "{whole}");
    // Broken off in the middle of a frame: that frame comes again.
    let server = content.serve_compressed().await;
    server.fault(FRAMES, Fault::Close(whole / 2));
    install(&Device::new(), &content, &image, &[source(&server)]).await;
    assert!(server.served(PATH).is_empty());
    assert_eq!(server.served(FRAMES).len(), 2);
    assert!(server.sent(FRAMES) <= whole + whole / 8 + 4096, "{} of {whole}", server.sent(FRAMES));
    // Without hashes the digest of the whole is compared.
    let bare = Image { zstd: true, length: image.length, ..content.bare() };
    let server = content.serve_compressed().await;
    install(&Device::new(), &content, &bare, &[source(&server)]).await;
    assert!(server.served(PATH).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_image_goes_on_in_another_process() {
    let (content, image) = compressible();
    let server = content.serve_compressed().await;
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let half = {
        let other = content.serve_compressed().await;
        install(&Device::new(), &content, &image, &[source(&other)]).await;
        other.sent(FRAMES) / 2
    };
    // It breaks off as often as it is tried; then the process ends.
    (0..4).for_each(|_| server.fault(FRAMES, Fault::Close(half)));
    receive(&staging, &image, &[source(&server)]).await.unwrap_err();
    drop(staging);
    install(&device, &content, &image, &[source(&server)]).await;
    let last = server.served(FRAMES).pop().unwrap();
    assert!(last.range.is_some() && last.sent <= half + half / 3 + 4096, "{last:?}");
    assert!(server.served(PATH).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_garbage_and_half_streams_fall_back_to_the_image_itself() {
    let (content, image) = compressible();
    // A frame that says it is 1 GiB of one letter, in blocks of 128 KiB.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3];
    for _ in 0..8192 {
        bomb.extend([(1 << 1) as u8, 0, 16, b'x']);
    }
    bomb.extend([(1 << 1 | 1) as u8, 0, 16, b'x']);
    let half = {
        let server = content.serve_compressed().await;
        install(&Device::new(), &content, &image, &[source(&server)]).await;
        server.sent(FRAMES) as usize / 2
    };
    for stream in [bomb.repeat(8), noise(4, 3 << 20), Vec::new(), b"\x28\xb5\x2f\xfd".to_vec()] {
        let server = content.serve_compressed().await;
        server.put(FRAMES, &stream);
        install(&Device::new(), &content, &image, &[source(&server)]).await;
        assert_eq!(server.sent(PATH), SIZE as u64, "{} bytes of stream", stream.len());
    }
    // One that ends too early, one with a wrong byte, and none at all.
    let server = content.serve_compressed().await;
    server.fault(FRAMES, Fault::Corrupt(half as u64));
    install(&Device::new(), &content, &image, &[source(&server)]).await;
    assert!(server.sent(PATH) <= SIZE as u64 / 2 + (1 << 20), "{}", server.sent(PATH));
    install(&Device::new(), &content, &image, &[source(&content.serve().await)]).await;
}
