//! What all stories share: a hub, a signed image, and a device as it stands before an update.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::device::Device;
use crate::story::Threads;
use crate::support::{Hub, noise, plugin, repo};

/// The image: a few chunks and a part of one.
pub(crate) const SIZE: usize = 5 * 64 * 1024 + 12_345;
/// A slot, in bytes.
pub(crate) const SLOT: usize = 512 * 1024;
/// The file of the image in a repository.
const TARGET: &str = "targets/images/fw-2.0.0.img";

pub(crate) struct Place {
    pub(crate) hub: Arc<Hub>,
    pub(crate) image: Vec<u8>,
    directory: tempfile::TempDir,
    stories: AtomicU64,
}

impl Place {
    pub(crate) async fn prepare() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        fs::create_dir(&images).unwrap();
        let hub = Arc::new(Hub::start(&directory.path().join("hub"), &images).await);
        let image = noise(SIZE);
        let repository = images.join("repo");
        repo(&repository, &["init"]).await;
        let file = directory.path().join("fw-2.0.0.img");
        fs::write(&file, &image).unwrap();
        repo(&repository, &["add", file.to_str().unwrap(), "--version", "2.0.0"]).await;
        repo(&repository, &["publish"]).await;
        let place = Place { hub, image, directory, stories: AtomicU64::new(0) };
        // Its first start, in which the plugin is compiled.
        let device = place.device_at(place.template()).await;
        let mut process = device.start(Threads::Real, false).await;
        device.until_reported(&mut process).await;
        process.stop().await;
        place
    }

    /// A directory for one story.
    pub(crate) fn folder(&self) -> PathBuf {
        let number = self.stories.fetch_add(1, Ordering::Relaxed);
        self.directory.path().join(format!("story-{number}"))
    }

    /// A device before its first update, under a name of its own.
    pub(crate) async fn device(&self, folder: PathBuf) -> Device {
        copy(&self.template(), &folder);
        self.device_at(folder).await
    }

    fn template(&self) -> PathBuf {
        self.directory.path().join("template")
    }

    async fn device_at(&self, folder: PathBuf) -> Device {
        let id = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let key = self.hub.create_device(&id).await;
        // The images under a name of this device's own, by which the hub counts what it sends.
        symlink("repo", self.directory.path().join("images").join(&id)).unwrap();
        fs::create_dir_all(folder.join("flash")).unwrap();
        // A device trusts few authorities; those of this machine are read by a hundred calls that are all the same.
        fs::create_dir_all(folder.join("roots")).unwrap();
        for name in ["first.pem", "second.pem"] {
            fs::copy(&self.hub.ca, folder.join("roots").join(name)).unwrap();
        }
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("connection-string", &format!("HostName=localhost;DeviceId={id};SharedAccessKey={key}"));
        write("policy.toml", POLICY);
        write("device.toml", &self.config(&folder, &id));
        if !folder.join("boot-id").exists() {
            write("boot-id", "00000000-0000-4000-8000-000000000001\n");
            fs::write(folder.join("flash/slot-a.img"), noise(SLOT + 1).split_off(1)).unwrap();
        }
        Device::new(folder, id, Arc::clone(&self.hub))
    }

    /// The URL of this device's repository.
    fn base(&self, id: &str) -> String {
        format!("https://localhost:{}/images/{id}/", self.hub.https_port)
    }

    /// What a service app sends.
    pub(crate) fn order(&self, id: &str) -> Value {
        json!({ "fwPackageUri": format!("{}{TARGET}", self.base(id)) })
    }

    /// The answers with bytes of the image that this device got: how many bytes each promised.
    pub(crate) async fn served(&self, id: &str) -> Vec<u64> {
        let path = format!("{id}/{TARGET}");
        let answers = self.hub.images().await.into_iter().filter(|answer| answer["path"] == path);
        answers.map(|answer| answer["length"].as_u64().unwrap()).collect()
    }

    fn config(&self, folder: &Path, id: &str) -> String {
        format!(
            "state = \"state\"\npolicy = \"policy.toml\"\nboot_id_file = \"boot-id\"\n\n\
             [hub]\nconnection_string_file = \"connection-string\"\nca_file = \"{ca}\"\nport = {mqtt}\n\n\
             [download]\nca_file = \"{ca}\"\nbackoff = \"50ms\"\n\n\
             [[repositories]]\nname = \"main\"\nroot_file = \"{root}\"\n\
             metadata = \"{base}metadata/\"\ntargets = \"{base}targets/\"\n\n\
             [flash]\ndirectory = \"flash\"\n\
             [[flash.slots]]\nname = \"a\"\nfile = \"slot-a.img\"\nsize = \"512KiB\"\n\
             [[flash.slots]]\nname = \"b\"\nfile = \"slot-b.img\"\nsize = \"512KiB\"\n\n\
             [restart]\ncommand = [\"touch\", \"{restart}\"]\n\n\
             [safe_mode]\nstarts = 1000\n\n\
             [[plugins]]\nfile = \"{plugin}\"\n",
            ca = self.hub.ca.display(),
            mqtt = self.hub.mqtt_port,
            root = self.directory.path().join("images/repo/metadata/1.root.json").display(),
            base = self.base(id),
            restart = folder.join("restart").display(),
            plugin = plugin("firmware-update").display(),
        )
    }
}

const POLICY: &str = "[firmware]\nunsigned = \"deny\"\n\n[plugins]\nunsigned = \"allow\"\n\n\
    [plugins.\"*\"]\ndownload = [\"https://localhost:*/images/\"]\nflash = true\nrestart = true\n\
    storage = \"64KiB\"\ntelemetry = true\n";

/// How long anything may take that does not fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
