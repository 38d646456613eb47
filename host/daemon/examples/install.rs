//! Installs an image into a slot, as a job's plugin would ask for: what `cargo xtask bench` times.
//!
//! `install --state FOLDER --slot FILE --digest sha256:… [--root blake3:…] [--length N] [--outboard] [--zstd] [--ca PEM]
//! [--running FILE] URL|DIRECTORY/NAME…`
//!
//! Any number of sources; the first is asked first. Plain `http://` is allowed here and nowhere else. Run it again with
//! the same state folder and it goes on where it was. `--running` names a second slot; after a seal the two change places,
//! so that the next image is installed beside the last one. Prints bytes and requests by source and part.

#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::{
    collections::BTreeMap,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use cap_std::{ambient_authority, fs::Dir};
use clap::Parser;
use futures_util::{FutureExt as _, future::BoxFuture};
use hotshoe_core::{digest::Digest, policy::Unsigned};
use hotshoed::{
    disk::{Device, Folder},
    fetch::Scheme,
    flash::{Flash, FlashSettings, GroupConfig, PartConfig, Place, boot, control::File},
    receive::{Body, FolderSource, Image, Opened, Part, ReceiveSettings, Receiver, Source, SourceError, Web},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    /// Where the slots' records are kept.
    #[arg(long)]
    state: PathBuf,
    /// The slot: a file, which is made if it is missing, or a block device.
    #[arg(long)]
    slot: PathBuf,
    /// Another slot, to which chunks are compared.
    #[arg(long)]
    running: Option<PathBuf>,
    /// What the image must hash to.
    #[arg(long)]
    digest: Digest,
    /// The BLAKE3 root of the image.
    #[arg(long)]
    root: Option<Digest>,
    /// Bytes of the image.
    #[arg(long)]
    length: Option<u64>,
    /// Whether the hashes of its chunks stand beside it.
    #[arg(long)]
    outboard: bool,
    /// Whether it is there as zstd frames.
    #[arg(long)]
    zstd: bool,
    /// Certificates of servers.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Bytes of a slot that is a file and missing.
    #[arg(long, default_value_t = 1 << 30)]
    size: u64,
    /// Receives and does not seal.
    #[arg(long)]
    no_seal: bool,
    /// Seconds without a byte after which a source is left.
    #[arg(long, default_value_t = 30.0)]
    stall: f64,
    /// Where the image is: URLs, or files in local directories.
    #[arg(required = true)]
    sources: Vec<String>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let flash = open(&arguments)?;
    let target = if flash.running()? == "a" { "b" } else { "a" };
    let mut settings = ReceiveSettings::default();
    settings.fetch.stall_timeout = std::time::Duration::from_secs_f64(arguments.stall);
    let web = Web::new(Arc::new(roots(&arguments)?), &settings.fetch, Scheme::AlsoPlainHttp)?;
    let counts = Arc::new(Counts::default());
    let sources: Result<Vec<Arc<dyn Source>>> =
        arguments.sources.iter().map(|source| counted(source, &web, &counts)).collect();
    let image = Image {
        digest: arguments.digest.clone(),
        length: arguments.length,
        root: arguments.root.clone(),
        outboard: arguments.outboard,
        zstd: arguments.zstd,
    };
    let staging = Arc::new(Mutex::new(flash.stage(target, &image.digest, "install", Unsigned::Digest)?));
    let cancel = CancellationToken::new();
    let length =
        Receiver::new(settings).receive(Arc::clone(&staging), &image, &sources?, &|_, _| {}, &cancel).await?;
    let received = start.elapsed();
    if !arguments.no_seal {
        tokio::task::spawn_blocking(move || match staging.lock() {
            Ok(mut staging) => Ok(staging.seal("bench")?),
            Err(_) => bail!("the staging is poisoned"),
        })
        .await??;
        if arguments.running.is_some() {
            flash.activate(target, "install")?;
            boot::boot(Arc::new(directory(&arguments.state)?))?;
            flash.confirm()?;
        }
    }
    println!("{length} bytes in {:?}, sealed after {:?}", received, start.elapsed());
    counts.print();
    Ok(())
}

fn roots(arguments: &Arguments) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &arguments.ca {
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
    }
    Ok(roots)
}

fn open(arguments: &Arguments) -> Result<Flash> {
    std::fs::create_dir_all(&arguments.state)?;
    let state: Arc<dyn Folder> = Arc::new(directory(&arguments.state)?);
    // Without another one a file of no use is what the device runs from.
    let running = match &arguments.running {
        Some(running) => slot("a", running, arguments.size)?,
        None => slot("a", &arguments.state.join("running"), 1)?,
    };
    let groups = vec![running, slot("b", &arguments.slot, arguments.size)?];
    let boot = Box::new(File::new(Arc::clone(&state)));
    Ok(Flash::with(state, FlashSettings { groups, boot, running: None })?)
}

/// A slot that is a file or a block device; of this size where there is none.
fn slot(name: &str, path: &Path, size: u64) -> Result<GroupConfig> {
    let file = path.file_name().and_then(|name| name.to_str()).context("a slot without a name")?.to_owned();
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = directory(folder)?;
    let metadata = std::fs::metadata(path).ok();
    let (size, place) = match metadata {
        Some(metadata) if metadata.file_type().is_block_device() => {
            let size = std::io::Seek::seek(&mut std::fs::File::open(path)?, std::io::SeekFrom::End(0))?;
            (size, Place::Device { folder: Arc::new(Device::new(folder)), name: file })
        }
        metadata => {
            let size = metadata.map_or(size, |metadata| metadata.len().max(1));
            (size, Place::File { folder: Arc::new(folder), name: file })
        }
    };
    let part = PartConfig { name: name.into(), size, place };
    Ok(GroupConfig { name: name.into(), parts: vec![part] })
}

fn directory(path: &Path) -> Result<Dir> {
    Dir::open_ambient_dir(path, ambient_authority())
        .with_context(|| format!("could not open {}", path.display()))
}

/// Requests and bytes, by source and part.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<(String, String), Arc<Count>>>);

/// Requests and bytes.
type Count = (AtomicU64, AtomicU64);

impl Counts {
    fn of(&self, source: &str, part: Part) -> Arc<Count> {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(counts.entry((source.to_owned(), format!("{part:?}"))).or_default())
    }

    fn print(&self) {
        for ((source, part), counts) in &*self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
            let (requests, bytes) = (counts.0.load(Ordering::SeqCst), counts.1.load(Ordering::SeqCst));
            println!("{part} of {source}: {requests} requests, {bytes} bytes");
        }
    }
}

/// A source that is counted.
struct Counted {
    source: Box<dyn Source>,
    counts: Arc<Counts>,
}

fn counted(place: &str, web: &Web, counts: &Arc<Counts>) -> Result<Arc<dyn Source>> {
    let source: Box<dyn Source> = if place.contains("://") {
        Box::new(web.source(place.parse()?, Arc::new(|_| Ok(()))))
    } else {
        let path = Path::new(place);
        let name = path.file_name().and_then(|name| name.to_str()).context("a file in a directory")?;
        Box::new(FolderSource::new(directory(path.parent().context("a directory")?)?, name))
    };
    Ok(Arc::new(Counted { source, counts: Arc::clone(counts) }))
}

impl Source for Counted {
    fn name(&self) -> String {
        self.source.name()
    }

    fn open(&self, part: Part, from: u64, to: Option<u64>) -> BoxFuture<'_, Result<Opened, SourceError>> {
        async move {
            let counts = self.counts.of(&self.source.name(), part);
            counts.0.fetch_add(1, Ordering::SeqCst);
            let opened = self.source.open(part, from, to).await?;
            Ok(Opened { body: Box::new(CountedBody { body: opened.body, counts }), ..opened })
        }
        .boxed()
    }
}

struct CountedBody {
    body: Box<dyn Body>,
    counts: Arc<Count>,
}

impl Body for CountedBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        async {
            let piece = self.body.next().await?;
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            self.counts.1.fetch_add(length, Ordering::SeqCst);
            Ok(piece)
        }
        .boxed()
    }
}
