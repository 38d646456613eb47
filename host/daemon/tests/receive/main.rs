//! Images over real sockets into real slots, from servers that fail in every way.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod faults;
mod kill;
mod saving;
mod server;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bao_tree::{BlockSize, io::outboard::PreOrderMemOutboard};
use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{
    digest::{Algorithm, Digest},
    image::CHUNK,
    policy::Unsigned,
};
use hotshoed::{
    artifact::hash::Hasher,
    fetch::{FetchSettings, Scheme},
    flash::{Flash, SlotConfig, Staging, boot},
    receive::{Image, ReceiveError, ReceiveSettings, Receiver, Source, Web},
};
use rustls::RootCertStore;
use server::Server;
use tokio_util::sync::CancellationToken;

pub(crate) const SLOT: u64 = 24 * 1024 * 1024;

/// An image whose last chunk is short.
pub(crate) const SIZE: usize = 8 * 1024 * 1024 + 12_345;

pub(crate) const PATH: &str = "/fw.img";
pub(crate) const HASHES: &str = "/fw.img.obao";
pub(crate) const FRAMES: &str = "/fw.img.zst";

/// A device's disk: a folder that outlives the processes on it.
pub(crate) struct Device(tempfile::TempDir);

impl Device {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn slot(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(format!("{name}.img"))).unwrap()
    }

    /// A new process.
    pub(crate) fn flash(&self) -> Flash {
        flash(self.path())
    }

    pub(crate) fn stage(&self, content: &Content, algorithm: Algorithm) -> Arc<Mutex<Staging>> {
        stage(&self.flash(), "b", &digest(&content.bytes, algorithm))
    }

    /// Makes what is sealed in this slot the running system.
    pub(crate) fn boot_into(&self, slot: &str) {
        self.flash().activate(slot, "job").unwrap();
        boot::boot(Arc::new(dir(self.path()))).unwrap();
        self.flash().confirm().unwrap();
    }
}

pub(crate) fn dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

pub(crate) fn flash(path: &Path) -> Flash {
    let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: SLOT };
    Flash::open(Arc::new(dir(path)), vec![slot("a"), slot("b")]).unwrap()
}

pub(crate) fn stage(flash: &Flash, slot: &str, digest: &Digest) -> Arc<Mutex<Staging>> {
    Arc::new(Mutex::new(flash.stage(slot, digest, "job", Unsigned::Digest).unwrap()))
}

/// An image and what stands beside it.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) outboard: Vec<u8>,
    pub(crate) root: Digest,
}

impl Content {
    pub(crate) fn new(seed: u8, length: usize) -> Self {
        Self::of(noise(seed, length))
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let outboard = PreOrderMemOutboard::create(&bytes, BlockSize::from_chunk_log(6));
        let root = Digest { algorithm: Algorithm::Blake3, bytes: *outboard.root.as_bytes() };
        Self { bytes, outboard: outboard.data, root }
    }

    pub(crate) fn image(&self) -> Image {
        Image {
            digest: digest(&self.bytes, Algorithm::Sha256),
            length: Some(self.bytes.len() as u64),
            root: Some(self.root.clone()),
            outboard: true,
            zstd: false,
        }
    }

    /// The image by its digest alone.
    pub(crate) fn bare(&self) -> Image {
        Image { length: None, root: None, outboard: false, ..self.image() }
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::start(&[(PATH, &self.bytes), (HASHES, &self.outboard)]).await
    }

    /// With frames of 1 MiB beside it.
    pub(crate) async fn serve_compressed(&self) -> Server {
        let server = self.serve().await;
        let frames = self.bytes.chunks(1 << 20).map(|frame| {
            ruzstd::encoding::compress_to_vec(frame, ruzstd::encoding::CompressionLevel::Fastest)
        });
        server.put(FRAMES, &frames.collect::<Vec<_>>().concat());
        server
    }
}

pub(crate) fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn digest(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Hours in milliseconds.
pub(crate) fn quick() -> ReceiveSettings {
    let fetch = FetchSettings {
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_millis(500),
        minimum_rate: 10_000,
        rate_window: Duration::from_secs(2),
        retries: 3,
        progress_step: 64 * 1024,
        backoff: Duration::from_millis(2),
        longest_backoff: Duration::from_millis(10),
        progress_every: Duration::ZERO,
        random: Arc::new(|| 0.5),
        ..FetchSettings::default()
    };
    ReceiveSettings { fetch, ..ReceiveSettings::default() }
}

pub(crate) fn source(server: &Server) -> Arc<dyn Source> {
    let web = Web::new(Arc::new(RootCertStore::empty()), &quick().fetch, Scheme::AlsoPlainHttp).unwrap();
    Arc::new(web.source(server.url(PATH), Arc::new(|_| Ok(()))))
}

pub(crate) async fn receive(
    staging: &Arc<Mutex<Staging>>,
    image: &Image,
    sources: &[Arc<dyn Source>],
) -> Result<u64, ReceiveError> {
    receive_with(quick(), staging, image, sources).await
}

pub(crate) async fn receive_with(
    settings: ReceiveSettings,
    staging: &Arc<Mutex<Staging>>,
    image: &Image,
    sources: &[Arc<dyn Source>],
) -> Result<u64, ReceiveError> {
    let cancel = CancellationToken::new();
    Receiver::new(settings).receive(Arc::clone(staging), image, sources, &|_, _| {}, &cancel).await
}

/// Receives and seals; the slot holds the image then.
pub(crate) async fn install(device: &Device, content: &Content, image: &Image, sources: &[Arc<dyn Source>]) {
    let staging = device.stage(content, image.digest.algorithm);
    let length = receive(&staging, image, sources).await.unwrap();
    assert_eq!(length, content.bytes.len() as u64);
    staging.lock().unwrap().seal("1.0.0").unwrap();
    assert!(device.slot("b").starts_with(&content.bytes), "byte-identical");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_through_one_request_into_the_slot() {
    let content = Content::new(1, SIZE);
    let server = content.serve().await;
    let device = Device::new();
    let staging = device.stage(&content, Algorithm::Sha256);
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let progress = move |done, total| listener.lock().unwrap().push((done, total));
    let cancel = CancellationToken::new();
    let receiver = Receiver::new(quick());
    let (image, sources) = (content.image(), [source(&server)]);
    let length = receiver.receive(Arc::clone(&staging), &image, &sources, &progress, &cancel).await.unwrap();
    assert_eq!(length, SIZE as u64);
    assert_eq!((server.served(PATH).len(), server.sent(PATH)), (1, SIZE as u64));
    assert_eq!(server.served(HASHES).len(), 1);
    let told = told.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&(SIZE as u64, Some(SIZE as u64))));
    assert!(told.is_sorted() && told.len() > 2, "{told:?}");
    assert_eq!(staging.lock().unwrap().written(), SIZE as u64);
    staging.lock().unwrap().seal("1.0.0").unwrap();
    assert!(device.slot("b").starts_with(&content.bytes));
    // Again: nothing is asked for.
    let staging = device.stage(&content, Algorithm::Sha256);
    receive(&staging, &image, &sources).await.unwrap();
    assert_eq!(server.served(PATH).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_every_shape() {
    let chunk = CHUNK as usize;
    for length in [1, 4096, chunk - 1, chunk, chunk + 1, 8 * chunk, 9 * chunk + 4096, 17 * chunk - 1] {
        let content = Content::new(2, length);
        let server = content.serve().await;
        for overlap in [true, false] {
            let device = Device::new();
            let staging = device.stage(&content, Algorithm::Sha256);
            let settings = ReceiveSettings { overlap, ..quick() };
            receive_with(settings, &staging, &content.image(), &[source(&server)]).await.unwrap();
            staging.lock().unwrap().seal("1").unwrap();
            assert!(device.slot("b").starts_with(&content.bytes), "{length}");
        }
    }
}
