//! The client under test of the public TUF conformance suite, over the verifier that the device uses.
//!
//! `cargo xtask tuf-conformance` runs the suite against it. What is not the device's own: it talks plain HTTP, which the
//! suite serves; it asks for files by digest, as the suite names them; its time floor is 1970, since some of the suite's
//! repositories are of the past; and it takes any target, where the device takes plugins and images.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::{
    artifact::hash::Hasher,
    fetch::Scheme,
    state::StateDir,
    trust::{FileNames, Repositories, RepositorySettings, SignedFile, TrustSettings},
};
use rustls::RootCertStore;

/// The root that the device was given; without `.json`, since the suite takes each such file for trusted metadata.
const GIVEN: &str = "given-root";

#[derive(Default)]
struct Arguments {
    metadata_dir: PathBuf,
    metadata_url: String,
    target_names: Vec<String>,
    target_base_url: String,
    target_dir: PathBuf,
    words: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tuf_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["init", root] => {
            fs::copy(root, arguments.metadata_dir.join(GIVEN))?;
            fs::copy(root, arguments.metadata_dir.join("root.json"))?;
            Ok(())
        }
        ["refresh"] => {
            let trust = open(&arguments)?;
            let refreshed = trust.refresh("suite").await;
            export(&trust, &arguments.metadata_dir).await?;
            Ok(refreshed?)
        }
        ["download"] => {
            let trust = open(&arguments)?;
            let downloaded = download(&trust, &arguments).await;
            export(&trust, &arguments.metadata_dir).await?;
            downloaded
        }
        other => Err(format!("the commands are init ROOT, refresh and download, not {other:?}").into()),
    }
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut found = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
        match word.as_str() {
            "--metadata-dir" => found.metadata_dir = value()?.into(),
            "--metadata-url" => found.metadata_url = value()?,
            "--target-name" => found.target_names.push(value()?),
            "--target-base-url" => found.target_base_url = value()?,
            "--target-dir" => found.target_dir = value()?.into(),
            _ => found.words.push(word),
        }
    }
    Ok(found)
}

fn open(arguments: &Arguments) -> Result<Repositories, Box<dyn Error>> {
    let targets = match arguments.target_base_url.as_str() {
        "" => "http://localhost/",
        url => url,
    };
    let repository = RepositorySettings {
        name: "suite".to_owned(),
        root: fs::read(arguments.metadata_dir.join(GIVEN))?,
        metadata: arguments.metadata_url.parse()?,
        targets: targets.parse()?,
        mirrors: Vec::new(),
        directories: Vec::new(),
    };
    let clock = Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let roots = Arc::new(RootCertStore::empty());
    let mut settings = TrustSettings::new(vec![repository], Vec::new(), roots, clock, 0);
    settings.scheme = Scheme::AlsoPlainHttp;
    settings.file_names = FileNames::ByDigest;
    // What the suite wants to see fail must not be saved by what was verified a moment ago; and a command that looks for
    // several targets refreshes once.
    settings.fallback = false;
    settings.fresh_for = Duration::from_secs(3600);
    let state = arguments.metadata_dir.join("state");
    fs::create_dir_all(&state)?;
    let state = StateDir::new(Dir::open_ambient_dir(&state, ambient_authority())?);
    Ok(Repositories::open(settings, &state)?)
}

async fn download(trust: &Repositories, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    for name in &arguments.target_names {
        let file = trust.file("suite", name).await?;
        let path = arguments.target_dir.join(name.replace('%', "%25").replace('/', "%2F"));
        if !is_here(&path, &file)? {
            fs::write(path, trust.bytes(&file).await?)?;
        }
    }
    Ok(())
}

fn is_here(path: &Path, file: &SignedFile) -> io::Result<bool> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut hasher = Hasher::new(file.digest.algorithm);
    hasher.update(&bytes);
    Ok(hasher.finish() == file.digest)
}

/// Writes what is trusted to where the suite looks for it.
async fn export(trust: &Repositories, directory: &Path) -> Result<(), Box<dyn Error>> {
    for kept in trust.kept("suite").await? {
        let name = kept.role.replace('%', "%25").replace('/', "%2F");
        fs::write(directory.join(format!("{name}.json")), kept.text)?;
    }
    Ok(())
}
