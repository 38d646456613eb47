//! A hub and a device of one's own, in a directory that goes with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    DEVICE,
    programs::{self, Programs},
};
use crate::failure::{Exit, Failure};

/// How long a program may take to be there, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the plugin is granted where no policy is given: all that it can ask for.
const POLICY: &str = r#"[firmware]
unsigned = "allow"

[plugins]
unsigned = "allow"
downgrade = true

[plugins."*"]
download = ["https://*:*/", "https://localhost:*/", "https://127.0.0.1:*/"]
flash = true
restart = true
storage = "64MiB"
telemetry = true
"#;

/// A running hub and a running device. Whoever has one calls [`Stand::stop`]: the device does not end by itself, and its
/// boot loader would start it anew.
pub(super) struct Stand {
    /// The device's admin socket.
    pub(super) socket: PathBuf,
    folder: TempDir,
    hotshoe: PathBuf,
    hub: Child,
    device: Child,
}

impl Stand {
    /// Starts both; when it returns, the device's admin socket answers.
    pub(super) async fn start(programs: &Programs, policy: Option<&Path>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::CantCreate, format!("could not make a directory for hub and device: {error}"))
        };
        let folder = tempfile::Builder::new().prefix("hotshoe-dev-").tempdir().map_err(failed)?;
        for below in ["hub", "images", "device"] {
            fs::create_dir_all(folder.path().join(below)).map_err(failed)?;
        }
        let policy = match policy {
            Some(file) => fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::NoInput, format!("could not read {}: {error}", file.display()))
            })?,
            None => POLICY.to_owned(),
        };
        let (hub, mqtt_port) = start_hub(programs, folder.path()).await?;
        let device = folder.path().join("device");
        let connection = connection_string(programs, folder.path()).await?;
        fs::write(device.join("connection-string"), connection).map_err(failed)?;
        fs::write(device.join("policy.toml"), policy).map_err(failed)?;
        fs::write(device.join("device.toml"), configuration(programs, &device, mqtt_port)).map_err(failed)?;
        let child = start_device(programs, folder.path())?;
        let mut stand = Stand {
            socket: device.join("state/admin.sock"),
            hotshoe: programs.hotshoe.clone(),
            folder,
            hub,
            device: child,
        };
        match stand.await_socket().await {
            Ok(()) => Ok(stand),
            Err(failure) => {
                stand.stop().await;
                Err(failure)
            }
        }
    }

    /// A command line for the author: `hotshoe … WORDS dev`.
    pub(super) fn line(&self, words: &str) -> String {
        let hub = self.folder.path().join("hub");
        format!(
            "{} --connection-string-file {} --ca {} {words} {DEVICE}",
            self.hotshoe.display(),
            hub.join("owner.connection-string").display(),
            hub.join("ca.pem").display()
        )
    }

    /// Waits until one of the programs ends by itself, which neither should.
    pub(super) async fn ended(&mut self) -> Failure {
        let name = tokio::select! {
            _ = self.hub.wait() => "hub",
            _ = self.device.wait() => "device",
        };
        self.over(name)
    }

    /// Ends both in order.
    pub(super) async fn stop(mut self) {
        for child in [&mut self.device, &mut self.hub] {
            let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = timeout(PATIENCE, child.wait()).await;
        }
    }

    async fn await_socket(&mut self) -> Result<(), Failure> {
        let socket = self.socket.clone();
        // There is nothing to wait on but the socket itself.
        let there = async move {
            while UnixStream::connect(&socket).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            there = timeout(PATIENCE, there) => {
                if there.is_ok() {
                    return Ok(());
                }
            }
            _ = self.device.wait() => {}
        }
        Err(self.over("device"))
    }

    /// A program is not there any more; the end of its log says why.
    fn over(&self, name: &str) -> Failure {
        let log = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(10);
        let end = lines.get(from..).unwrap_or_default().join("\n");
        Failure::new(Exit::Unavailable, format!("the {name} is not running; the end of its log:\n{end}"))
    }
}

async fn start_hub(programs: &Programs, folder: &Path) -> Result<(Child, u64), Failure> {
    let mut hub = Command::new(&programs.localhub)
        .args([
            "serve",
            "--host",
            "localhost",
            "--listen",
            "127.0.0.1",
            "--mqtt-port",
            "0",
            "--https-port",
            "0",
        ])
        .arg("--data")
        .arg(folder.join("hub"))
        .arg("--images")
        .arg(folder.join("images"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log(folder, "hub")?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| programs::failed("hotshoe-localhub", &error))?;
    let mut ready = String::new();
    if let Some(output) = hub.stdout.take() {
        let _ = timeout(PATIENCE, BufReader::new(output).read_line(&mut ready)).await;
    }
    let port = serde_json::from_str::<Value>(&ready).ok().and_then(|ready| ready.get("mqttPort")?.as_u64());
    let port = port.ok_or_else(|| {
        let log = fs::read_to_string(folder.join("hub.log")).unwrap_or_default();
        Failure::new(Exit::Unavailable, format!("the hub did not start: {}", log.trim()))
    })?;
    Ok((hub, port))
}

/// Registers the device.
async fn connection_string(programs: &Programs, folder: &Path) -> Result<String, Failure> {
    let hotshoe = async |words: &[&str]| {
        let mut command = Command::new(&programs.hotshoe);
        command.arg("--connection-string-file").arg(folder.join("hub/owner.connection-string"));
        command.arg("--ca").arg(folder.join("hub/ca.pem")).args(words).arg(DEVICE);
        let output = command.output().await.map_err(|error| programs::failed("hotshoe", &error))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::new(Exit::Unavailable, format!("the device was not registered: {reason}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    hotshoe(&["device", "create"]).await?;
    hotshoe(&["device", "connection-string"]).await
}

fn configuration(programs: &Programs, device: &Path, mqtt_port: u64) -> String {
    format!(
        r#"state = "state"
policy = "policy.toml"
boot_id_file = "boot-id"
aot = {aot}

[hub]
connection_string_file = "connection-string"
ca_file = "../hub/ca.pem"
port = {mqtt_port}

[download]
ca_file = "../hub/ca.pem"

[flash]
directory = "flash"
boot_control = "file"
slots = [
    {{ name = "a", file = "slot-a.img", size = "64MiB" }},
    {{ name = "b", file = "slot-b.img", size = "64MiB" }},
]

[restart]
command = [{bootsim}, "restart", "--pid", {pid}]
"#,
        aot = quoted(&programs.aot),
        bootsim = quoted(&programs.bootsim),
        pid = quoted(&device.join("bootsim.pid")),
    )
}

/// A path as a string of TOML.
fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_string_lossy().into_owned()).to_string()
}

fn start_device(programs: &Programs, folder: &Path) -> Result<Child, Failure> {
    let device = folder.join("device");
    Command::new(&programs.bootsim)
        .arg("run")
        .arg("--flash")
        .arg(device.join("flash"))
        .arg("--boot-id")
        .arg(device.join("boot-id"))
        .arg("--pid")
        .arg(device.join("bootsim.pid"))
        .arg("--")
        .arg(&programs.hotshoed)
        .arg("--config")
        .arg(device.join("device.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log(folder, "device")?)
        .spawn()
        .map_err(|error| programs::failed("hotshoe-bootsim", &error))
}

fn log(folder: &Path, name: &str) -> Result<fs::File, Failure> {
    let file = folder.join(format!("{name}.log"));
    fs::File::create(&file).map_err(|error| {
        Failure::new(Exit::CantCreate, format!("could not write {}: {error}", file.display()))
    })
}
