//! An image's size does not show in memory: not while it is fetched, staged or sealed.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{
    digest::{Algorithm, Digest},
    policy::Unsigned,
};
use hotshoed::{
    artifact::hash::Hasher,
    fetch::{FetchRequest, Fetcher},
    flash::{Flash, SlotConfig},
};
use rustls::RootCertStore;

use crate::{
    quick, request,
    server::{Answer, Server, Step},
    store,
};

const MIB: usize = 1024 * 1024;

/// What the measured process is told, in its environment: URL, directory, certificate, digest.
const CHILD: &str = "HOTSHOE_TEST_INSTALL";

/// Not a test of its own: the process that [`peak_memory_does_not_grow_with_the_image`] measures.
#[test]
fn child_that_installs() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<_> = told.split('|').collect();
    let [url, directory, certificate, digest] = told[..] else { panic!("{told:?}") };
    let digest: Digest = digest.parse().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(std::fs::read(certificate).unwrap().into()).unwrap();
    let directory = Path::new(directory);
    for folder in ["store", "flash"] {
        std::fs::create_dir(directory.join(folder)).unwrap();
    }
    let fetcher = Fetcher::new(store(&directory.join("store"), u64::MAX), Arc::new(roots), quick()).unwrap();
    let wanted = FetchRequest { digest: Some(digest.clone()), ..request(url.parse().unwrap()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let artifact = runtime.block_on(fetcher.fetch(&wanted, &|_| Ok(()), &|_, _| {})).unwrap();
    let slot = |name: &str| SlotConfig { name: name.into(), file: name.into(), size: 128 * MIB as u64 };
    let flash = Dir::open_ambient_dir(directory.join("flash"), ambient_authority()).unwrap();
    let flash = Flash::open(Arc::new(flash), vec![slot("a"), slot("b")]).unwrap();
    let mut staging = flash.stage("b", &digest, "job", Unsigned::Digest).unwrap();
    staging.append_artifact(&artifact, &|_, _| {}).unwrap();
    staging.seal("1").unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    std::fs::write(directory.join("peak"), peak.trim().trim_end_matches(" kB")).unwrap();
}

/// Peak resident memory in KiB of a process that installs an image of so many MiB.
async fn peak(mebibytes: usize) -> usize {
    let block: Vec<u8> = (0..MIB).map(|n| (n % 253) as u8).collect();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..mebibytes).for_each(|_| hasher.update(&block));
    let digest = hasher.finish();
    let server = Server::start(move |_, _| Answer {
        head: format!("HTTP/1.1 200 OK\r\nContent-Length: {}", mebibytes * MIB),
        steps: vec![Step::Send(block.clone()); mebibytes],
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("ca.der");
    std::fs::write(&certificate, &server.ca).unwrap();
    let told = format!("{}|{}|{}|{digest}", server.url("/a"), folder.path().display(), certificate.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "memory::child_that_installs"]).env(CHILD, told).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    assert!(status.success());
    std::fs::read_to_string(folder.path().join("peak")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn peak_memory_does_not_grow_with_the_image() {
    let (small, large) = (peak(16).await, peak(112).await);
    assert!(large < small + 8 * 1024, "{small} KiB for 16 MiB, {large} KiB for 112 MiB");
    eprintln!("peak {small} KiB for 16 MiB, {large} KiB for 112 MiB");
}
