//! Servers that lie, stall, drip, break off and change their mind: a table of them.
//!
//! Each row: what the server does with its n-th request, what a fetch must come to, and how many requests it may take.
//! Each is gone both ways that an image has into a slot: through the store, and straight. After every row the slot holds
//! exactly the image, sealed, or nothing is armed; the disk is within its budget; nobody was asked whom no grant names;
//! and an honest server makes it well, in a later process.

mod bodies;
mod heads;
mod redirects;
mod resumes;
mod strangers;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use cap_std::{ambient_authority, fs::Dir};
use futures_util::StreamExt as _;
use hotshoe_core::policy::Unsigned;
use hotshoed::{
    artifact::Artifact,
    fetch::{FetchError, FetchRequest, FetchSettings, Fetcher, Scheme, Trust},
    flash::{Content, Flash, FlashError, SlotConfig},
    receive::{Image, ReceiveError, ReceiveSettings, Receiver, Source, Web},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Disk, all, content, digest, granted, quick, request,
    server::{Answer, Face, Request, Server, Step, answer, broken_after, honest, raw},
};

const SIZE: usize = 600_000;
const HALF: usize = 300_000;
const TAG: &str = "\"1\"";

/// What the artifact store may take of the disk, and a slot.
const BUDGET: u64 = 4 << 20;
/// What journals and records may take beside.
const BESIDE: u64 = 64 << 10;
/// What a server may get rid of before it is hung up on, the kernel's buffers included.
const SENT: u64 = 32 << 20;

/// How it must end; the text is a part of the error's.
#[derive(Clone, Copy, Debug)]
enum Must {
    /// The right bytes.
    Succeed,
    Interrupted(&'static str),
    Denied(&'static str),
    Untrusted(&'static str),
    Status(u16),
    Size,
    Digest,
    NoRoom,
}

impl Must {
    fn is(self, error: &FetchError) -> bool {
        match (self, error) {
            (Must::Interrupted(words), FetchError::Interrupted(text))
            | (Must::Denied(words), FetchError::Denied(text))
            | (Must::Untrusted(words), FetchError::Untrusted(text)) => text.contains(words),
            (Must::Status(expected), FetchError::Status { status, .. }) => expected == *status,
            (Must::Size, FetchError::Size { expected, actual }) => actual != expected,
            (Must::Digest, FetchError::Digest { .. }) => true,
            (Must::NoRoom, FetchError::InsufficientSpace { needed, .. }) => *needed > BUDGET,
            _ => false,
        }
    }
}

/// What a server knows when it is asked.
struct Asked<'a> {
    content: &'a [u8],
    request: &'a Request,
    /// How many requests there were before.
    number: usize,
    /// The port of a server that no grant names.
    stranger: u16,
}

impl Asked<'_> {
    fn honest(&self) -> Answer {
        honest(self.request, self.content, TAG)
    }

    /// An honest answer that breaks off half-way.
    fn half(&self) -> Answer {
        broken_after(self.honest(), HALF)
    }

    fn ranged(&self) -> bool {
        self.request.header("range").is_some()
    }
}

struct Row {
    name: &'static str,
    face: Face,
    server: fn(&Asked<'_>) -> Answer,
    path: &'static str,
    /// Whether the digest is asked for, else the one beside the file is.
    digest: bool,
    size: bool,
    must: Must,
    /// How many requests it takes; where it fails, at most.
    requests: usize,
    /// Where the straight way into the slot ends otherwise.
    straight: Option<Must>,
}

const ROW: Row = Row {
    name: "",
    face: Face::Name("localhost"),
    server: |asked| asked.honest(),
    path: "/a.img",
    digest: true,
    size: false,
    must: Must::Succeed,
    requests: 1,
    straight: None,
};

fn rows() -> Vec<Row> {
    [heads::rows(), bodies::rows(), resumes::rows(), redirects::rows(), strangers::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// How many rows the table has at least, and at once.
const LEAST: usize = 40;
const AT_ONCE: usize = 16;

/// How long a row may take before it counts as endless. Never reached when all is well.
const PATIENCE: Duration = Duration::from_secs(90);

fn settings() -> FetchSettings {
    FetchSettings {
        connect_timeout: Duration::from_secs(3),
        stall_timeout: Duration::from_secs(3),
        rate_window: Duration::from_secs(2),
        ..quick()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row() {
    let bytes = content(1, SIZE);
    let stranger = Server::start(|_, _| answer("200 OK", "", b"wrong")).await;
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows of one name");
    let checks = rows.iter().map(|row| async {
        let checked = tokio::time::timeout(PATIENCE, check(row, &bytes, stranger.port)).await;
        (row.name, checked.unwrap_or_else(|_| Err("it does not end".to_owned())))
    });
    let results: Vec<_> = futures_util::stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<_> = results
        .iter()
        .filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    let held: BTreeSet<_> = results.iter().map(|(name, _)| *name).collect();
    assert!(held == names && held.len() >= LEAST, "{} of {} rows, {LEAST} at least", held.len(), names.len());
    assert_eq!(stranger.connections(), 0, "a server was asked that no grant names");
    eprintln!("{} rows, each both ways", held.len());
}

async fn check(row: &Row, bytes: &[u8], stranger: u16) -> Result<(), String> {
    let (through_store, straight) =
        tokio::join!(by_store(row, bytes, stranger), by_slot(row, bytes, stranger));
    through_store.map_err(|why| format!("through the store: {why}"))?;
    straight.map_err(|why| format!("straight: {why}"))
}

async fn serve(row: &Row, bytes: &[u8], stranger: u16) -> Server {
    let (served, behave) = (bytes.to_vec(), row.server);
    let handler = move |request: &Request, number: usize| {
        behave(&Asked { content: &served, request, number, stranger })
    };
    Server::start_as(row.face, handler).await
}

/// Through the artifact store into the slot.
async fn by_store(row: &Row, bytes: &[u8], stranger: u16) -> Result<(), String> {
    let server = serve(row, bytes, stranger).await;
    let disk = Disk::new();
    let wanted = FetchRequest {
        digest: row.digest.then(|| digest(bytes)),
        size: row.size.then_some(SIZE as u64),
        trust: Trust::Firmware(Unsigned::Digest),
        ..request(server.url(row.path))
    };
    let device = Slots::new();
    let result = fetch(&disk, &server, &wanted).await;
    let ends_well = match (row.must, &result) {
        (Must::Succeed, Ok(artifact)) => all(artifact) == bytes,
        (must, Err(error)) => must.is(error),
        _ => false,
    };
    if !ends_well {
        return Err(format!("{result:?}"));
    }
    let requests = server.requests().len();
    // Where it fails, a busy machine may lose an attempt before the request.
    if requests > row.requests || (requests < row.requests && result.is_ok()) {
        return Err(format!("{requests} requests instead of {}; {result:?}", row.requests));
    }
    let whole = std::fs::read_dir(disk.0.path().join("whole")).unwrap().count();
    let (kept, taken) = (disk.store(BUDGET).usage(), used(disk.0.path()));
    if whole != usize::from(result.is_ok()) || kept > BUDGET || taken > BUDGET + BESIDE {
        return Err(format!("{whole} whole files, {kept} bytes, {taken} on the disk"));
    }
    within_reason(&server)?;
    if let Ok(artifact) = result {
        device.install(&artifact, bytes)?;
    }
    device.holds(matches!(row.must, Must::Succeed).then_some(bytes))?;
    // Whatever happened: an honest server makes it well, in a later process.
    let served = bytes.to_vec();
    let honest_one = Server::start(move |request, _| honest(request, &served, TAG)).await;
    let again = FetchRequest { url: honest_one.url("/a.img"), digest: Some(digest(bytes)), ..wanted };
    let artifact = fetch(&disk, &honest_one, &again).await.map_err(|error| format!("afterwards: {error}"))?;
    device.install(&artifact, bytes).map_err(|why| format!("afterwards: {why}"))
}

async fn fetch(disk: &Disk, server: &Server, request: &FetchRequest) -> Result<Artifact, FetchError> {
    let fetcher = Fetcher::new(disk.store(BUDGET), Arc::clone(&server.roots), settings()).unwrap();
    fetcher.fetch(request, &granted(server), &|_, _| {}).await
}

/// Straight into the slot.
async fn by_slot(row: &Row, bytes: &[u8], stranger: u16) -> Result<(), String> {
    // What stands beside the image is the store's affair.
    if !row.digest {
        return Ok(());
    }
    let server = serve(row, bytes, stranger).await;
    let device = Slots::new();
    let must = row.straight.unwrap_or(row.must);
    let result = device.receive(&server, row.path, row.size, bytes).await;
    let ends_well = match (must, &result) {
        (Must::Succeed, Ok(())) => true,
        (Must::NoRoom, Err(Failed::Slot(FlashError::InsufficientSpace { .. }))) => true,
        (Must::Digest, Err(Failed::Slot(FlashError::DigestMismatch { .. }))) => true,
        (must, Err(Failed::Server(error))) => must.is(error),
        _ => false,
    };
    if !ends_well {
        return Err(format!("{result:?}"));
    }
    device.holds(result.is_ok().then_some(bytes))?;
    within_reason(&server)?;
    let served = bytes.to_vec();
    let honest_one = Server::start(move |request, _| honest(request, &served, TAG)).await;
    let again = device.receive(&honest_one, "/a.img", false, bytes).await;
    again.map_err(|error| format!("afterwards: {error:?}"))?;
    device.holds(Some(bytes))
}

/// Nobody took more from it than there was room for.
fn within_reason(server: &Server) -> Result<(), String> {
    match server.sent() {
        sent if sent > SENT => Err(format!("{sent} bytes were taken")),
        _ => Ok(()),
    }
}

fn used(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            about if about.is_dir() => used(&entry.path()),
            about => about.len(),
        })
        .sum()
}

#[derive(Debug)]
enum Failed {
    Server(FetchError),
    Slot(FlashError),
}

/// The slots of a device. It runs from `a`.
struct Slots(tempfile::TempDir);

impl Slots {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flash(&self) -> Flash {
        let slot = |name: &str| SlotConfig { name: name.into(), file: name.into(), size: BUDGET };
        let folder = Dir::open_ambient_dir(self.0.path(), ambient_authority()).unwrap();
        Flash::open(Arc::new(folder), vec![slot("a"), slot("b")]).unwrap()
    }

    fn install(&self, artifact: &Artifact, bytes: &[u8]) -> Result<(), String> {
        let mut staging = self.flash().stage("b", &digest(bytes), "job", Unsigned::Digest).unwrap();
        staging.append_artifact(artifact, &|_, _| {}).map_err(|error| error.to_string())?;
        staging.seal("1").map_err(|error| error.to_string())?;
        self.holds(Some(bytes))
    }

    async fn receive(&self, server: &Server, path: &str, size: bool, bytes: &[u8]) -> Result<(), Failed> {
        let staging = self.flash().stage("b", &digest(bytes), "job", Unsigned::Digest).unwrap();
        let staging = Arc::new(Mutex::new(staging));
        let length = size.then_some(SIZE as u64);
        let image = Image { digest: digest(bytes), length, root: None, outboard: false, zstd: false };
        let web = Web::new(Arc::clone(&server.roots), &settings(), Scheme::Https).unwrap();
        let source: Arc<dyn Source> = Arc::new(web.source(server.url(path), Arc::new(granted(server))));
        let receiver = Receiver::new(ReceiveSettings { fetch: settings(), ..ReceiveSettings::default() });
        let (sources, never) = ([source], CancellationToken::new());
        let received = receiver.receive(Arc::clone(&staging), &image, &sources, &|_, _| {}, &never).await;
        received.map_err(|error| match error {
            ReceiveError::Fetch(error) => Failed::Server(error),
            ReceiveError::Flash(error) => Failed::Slot(error),
            ReceiveError::Cancelled => unreachable!(),
        })?;
        tokio::task::spawn_blocking(move || staging.lock().unwrap().seal("1"))
            .await
            .unwrap()
            .map_err(Failed::Slot)
    }

    /// Slot `b` holds this and may be armed; or it is not sealed and cannot be.
    fn holds(&self, wanted: Option<&[u8]>) -> Result<(), String> {
        let slots = self.flash().slots().unwrap();
        let slot = slots.iter().find(|slot| slot.name == "b").unwrap();
        let sealed = slot.content == Content::Sealed;
        let right = match wanted {
            Some(bytes) => std::fs::read(self.0.path().join("b")).unwrap().starts_with(bytes),
            None => self.flash().activate("b", "job").is_err(),
        };
        match sealed == wanted.is_some() && right && !slot.trial && used(self.0.path()) <= 2 * BUDGET + BESIDE
        {
            true => Ok(()),
            false => Err(format!("{slot:?}")),
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_twice_after_a_break() {
    let bytes = content(1, SIZE);
    let served = bytes.clone();
    let server = Server::start(move |request, number| {
        let answer = honest(request, &served, TAG);
        if number == 0 { broken_after(answer, HALF) } else { answer }
    })
    .await;
    let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img")) };
    fetch(&Disk::new(), &server, &wanted).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[1].header("range"), Some("bytes=300000-"));
    assert_eq!(requests[1].header("if-range"), Some(TAG));
    assert_eq!(server.sent(), SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_deadline_it_ends_and_keeps_what_came() {
    let bytes = content(3, SIZE);
    let served = bytes.clone();
    let server = Server::start(move |request, number| match number {
        0 => Answer {
            steps: vec![Step::Send(served[..HALF].to_vec()), Step::Stall],
            ..honest(request, &served, TAG)
        },
        _ => honest(request, &served, TAG),
    })
    .await;
    let (disk, patient) = (Disk::new(), Duration::from_secs(600));
    let late = FetchSettings {
        deadline: Duration::from_secs(2),
        stall_timeout: patient,
        rate_window: patient,
        ..settings()
    };
    let store = disk.store(BUDGET);
    let fetcher = Fetcher::new(store.clone(), Arc::clone(&server.roots), late).unwrap();
    let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img?sig=secret")) };
    let error = fetcher.fetch(&wanted, &granted(&server), &|_, _| {}).await.unwrap_err();
    let FetchError::Interrupted(text) = error else { panic!("{error}") };
    assert!(text.contains("the 2 s of [download] deadline") && text.contains("/a.img"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert!(all(&crate::fetch(&store, &server, &wanted).await.unwrap()) == bytes);
    let requests = server.requests();
    assert_eq!(requests[1].header("range"), Some("bytes=300000-"), "what came was kept");
    assert_eq!(server.sent(), SIZE as u64);
}
