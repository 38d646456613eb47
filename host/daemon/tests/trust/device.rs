//! A device with one repository, and the server that claims to be it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cap_std::{ambient_authority, fs::Dir};
use hotshoed::{
    fetch::FetchSettings,
    state::StateDir,
    trust::{Repositories, RepositorySettings, Target, TrustError, TrustSettings},
};
use rustls::RootCertStore;
use url::Url;

use crate::{
    author::{Files, NOW, Repo, Served},
    server::{Answer, Server, Step, answer},
};

pub(crate) struct Device {
    pub(crate) server: Server,
    pub(crate) files: Files,
    pub(crate) clock: Arc<AtomicU64>,
    root: Vec<u8>,
    roots: Arc<RootCertStore>,
    disk: tempfile::TempDir,
}

impl Device {
    /// A device that was shipped with this repository's root.
    pub(crate) async fn new(repo: &Repo) -> Device {
        let files = Files::default();
        let served = Arc::clone(&files);
        let server = Server::start(move |request, _| {
            let path = request.path.split('?').next().unwrap();
            match served.lock().unwrap().get(path) {
                Some(served) => answered(served),
                None => answer("404 Not Found", "", b"no"),
            }
        })
        .await;
        let device = Device {
            roots: Arc::clone(&server.roots),
            server,
            files,
            clock: Arc::new(AtomicU64::new(NOW)),
            root: repo.signed("root"),
            disk: tempfile::tempdir().unwrap(),
        };
        device.serve(repo);
        device
    }

    /// Its server has just these files.
    pub(crate) fn serve(&self, repo: &Repo) {
        *self.files.lock().unwrap() = repo.files.clone();
    }

    /// Its server is gone.
    pub(crate) fn vanish(&self) {
        self.serve_all(Served::Status("503 Service Unavailable"));
    }

    /// Its server answers all that it knows of alike.
    pub(crate) fn serve_all(&self, served: Served) {
        self.files.lock().unwrap().values_mut().for_each(|file| *file = served.clone());
    }

    /// Its image brings this repository's root from the next start on.
    pub(crate) fn give(&mut self, repo: &Repo) {
        self.root = repo.signed("root");
    }

    /// It trusts other certificates than its server has.
    pub(crate) fn distrust(&mut self) {
        self.roots = Arc::new(RootCertStore::empty());
    }

    pub(crate) fn state(&self) -> StateDir {
        StateDir::new(Dir::open_ambient_dir(self.disk.path(), ambient_authority()).unwrap())
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.disk.path()
    }

    pub(crate) fn settings(&self) -> TrustSettings {
        let repository = RepositorySettings {
            name: "main".into(),
            root: self.root.clone(),
            metadata: self.server.url("/metadata"),
            targets: self.server.url("/targets/"),
            mirrors: Vec::new(),
            directories: Vec::new(),
        };
        let clock = Arc::clone(&self.clock);
        let mut settings = TrustSettings::new(
            vec![repository],
            vec!["acme-gateway-2".into()],
            Arc::clone(&self.roots),
            Arc::new(move || clock.load(Ordering::Relaxed)),
            NOW - 1_000_000,
        );
        settings.fetch =
            FetchSettings { stall_timeout: Duration::from_millis(300), ..FetchSettings::default() };
        settings.patience = Duration::from_secs(3);
        settings.fresh_for = Duration::ZERO;
        settings
    }

    /// The device after a start.
    pub(crate) fn start(&self) -> Repositories {
        Repositories::open(self.settings(), &self.state()).unwrap()
    }

    pub(crate) fn url(&self, target: &str) -> Url {
        self.server.url(&format!("/targets/{target}"))
    }

    /// What a started device says to a firmware job with this target's URL.
    pub(crate) async fn resolve(&self, target: &str) -> Result<Target, TrustError> {
        Ok(self.start().resolve(&self.url(target)).await?.expect("the URL is covered"))
    }

    /// A plugin's bytes.
    pub(crate) async fn plugin(&self, version: Option<&str>) -> Result<Vec<u8>, TrustError> {
        let trust = self.start();
        let version = version.map(|version| version.parse().unwrap());
        let target = trust.plugin(None, &"acme.pump".parse().unwrap(), version.as_ref()).await?;
        trust.read(&target).await
    }
}

fn answered(served: &Served) -> Answer {
    let chunked = "HTTP/1.1 200 OK\r\nConnection: close".to_owned();
    match served {
        Served::Bytes(bytes) => answer("200 OK", "", bytes),
        Served::Status(status) => answer(status, "", b"no"),
        Served::Redirect(to) => answer("302 Found", &format!("\r\nLocation: {to}"), b""),
        Served::Endless => Answer { head: chunked, steps: vec![Step::Endless] },
        Served::Boast => Answer {
            head: "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000".to_owned(),
            steps: vec![Step::Stall],
        },
        Served::Stall => Answer { head: chunked, steps: vec![Step::Stall] },
        Served::Drip => Answer { head: chunked, steps: vec![Step::Drip] },
    }
}
