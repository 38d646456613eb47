//! Fetches an image over HTTPS and stages it in a slot, as a job's plugin would ask for: what `cargo xtask bench` times.
//!
//! `install URL CA_PEM FOLDER DIGEST SLOT_SIZE`

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use cap_std::{ambient_authority, fs::Dir};
use hotshoe_core::{digest::Digest, policy::Unsigned, units};
use hotshoed::{
    artifact::ArtifactStore,
    fetch::{FetchRequest, FetchSettings, Fetcher, Trust},
    flash::{Flash, SlotConfig},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, ca, folder, digest, size] = arguments.as_slice() else {
        anyhow::bail!("usage: install URL CA_PEM FOLDER DIGEST SLOT_SIZE");
    };
    let digest: Digest = digest.parse()?;
    let size = units::parse_size(size)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let store = ArtifactStore::open(directory(folder, "artifacts")?, u64::MAX)?;
    let fetcher = Fetcher::new(store, Arc::new(roots), FetchSettings::default())?;
    let request = FetchRequest {
        url: url.parse()?,
        digest: Some(digest.clone()),
        size: None,
        trust: Trust::Firmware(Unsigned::Digest),
    };
    let artifact = fetcher.fetch(&request, &|_| Ok(()), &|_, _| ()).await?;

    let slots = ["a", "b"].map(|name| SlotConfig { name: name.into(), file: format!("{name}.img"), size });
    let flash = Flash::open(Arc::new(directory(folder, "flash")?), slots.into())?;
    tokio::task::spawn_blocking(move || -> Result<()> {
        let mut staging = flash.stage("b", &digest, "bench", Unsigned::Digest)?;
        staging.append_artifact(&artifact, &|_, _| ())?;
        staging.seal("bench")?;
        Ok(())
    })
    .await??;
    Ok(())
}

fn directory(folder: &str, name: &str) -> Result<Dir> {
    let path = Path::new(folder).join(name);
    std::fs::create_dir_all(&path)?;
    Dir::open_ambient_dir(&path, ambient_authority())
        .with_context(|| format!("could not open {}", path.display()))
}
