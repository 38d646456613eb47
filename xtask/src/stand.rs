//! A test stand: a local hub, and a device on it with boot loader and init simulated, in one temporary directory.
//!
//! The demo and the benchmarks drive the real programs over real sockets through it. Everything it starts ends with it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools::{capture, root, run, target};

/// The id of the one device of a stand.
pub(crate) const DEVICE: &str = "camera-1";

/// How the stand is set up.
pub(crate) struct Options {
    /// `debug` or `release`: whose programs are used.
    pub(crate) profile: &'static str,
    /// The size of each slot in MiB.
    pub(crate) slot_mib: u64,
    /// `firmware.unsigned` of the policy, for images that no signed target covers.
    pub(crate) unsigned: &'static str,
    /// The address that the hub listens on, with the standard port 8883; `localhost` and free ports otherwise.
    pub(crate) address: Option<&'static str>,
    /// The port of REST, where a library knows one only; any free one otherwise.
    pub(crate) https_port: Option<&'static str>,
    /// Bytes a second at which images are sent, such as `20MiB`; as fast as it goes otherwise.
    pub(crate) image_rate: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: "debug",
            slot_mib: 1,
            unsigned: "digest",
            address: None,
            https_port: None,
            image_rate: None,
        }
    }
}

/// A running local hub and what a device needs to join it.
pub(crate) struct Stand {
    /// Everything of this stand lies here.
    pub(crate) folder: PathBuf,
    programs: PathBuf,
    hub: Child,
    device: Option<Child>,
    mqtt_port: u64,
    https_port: u64,
    host: &'static str,
}

impl Stand {
    /// Starts the hub, registers the device and writes its configuration; the device is not started yet.
    pub(crate) fn start(folder: &Path, options: &Options) -> Result<Self> {
        let programs = target().join(options.profile);
        for sub in ["images", "device", "hub"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let log = fs::File::create(folder.join("localhub.log"))?;
        let (host, listen, mqtt) = match options.address {
            Some(address) => (address, address, "8883"),
            None => ("localhost", "127.0.0.1", "0"),
        };
        let mut hub = Command::new(programs.join("hotshoe-localhub"))
            .args([
                "serve",
                "--host",
                host,
                "--listen",
                listen,
                "--mqtt-port",
                mqtt,
                "--https-port",
                options.https_port.unwrap_or("0"),
                "--data",
            ])
            .arg(folder.join("hub"))
            .arg("--images")
            .arg(folder.join("images"))
            .args(options.image_rate.map(|rate| format!("--image-rate={rate}")))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("could not start hotshoe-localhub")?;
        let mut ready = String::new();
        let output = hub.stdout.take().context("hotshoe-localhub has no standard output")?;
        BufReader::new(output).read_line(&mut ready)?;
        let ready: Value = serde_json::from_str(&ready).with_context(|| {
            format!("hotshoe-localhub did not say that it is ready; see {}", folder.display())
        })?;
        let port = |name: &str| {
            ready.get(name).and_then(Value::as_u64).with_context(|| format!("no {name} in {ready}"))
        };
        let stand = Self {
            folder: folder.to_path_buf(),
            programs,
            mqtt_port: port("mqttPort")?,
            https_port: port("httpsPort")?,
            host,
            hub,
            device: None,
        };
        stand.configure(options)?;
        Ok(stand)
    }

    fn configure(&self, options: &Options) -> Result<()> {
        run(self.repo("init").stdout(Stdio::null()))?;
        fs::copy(self.folder.join("images/metadata/1.root.json"), self.folder.join("device/root.json"))?;
        run(self.hotshoe().args(["device", "create", DEVICE]).stdout(Stdio::null()))?;
        let connection = capture(self.hotshoe().args(["device", "connection-string", DEVICE]))?;
        let folder = self.folder.join("device");
        fs::write(folder.join("connection-string"), connection)?;
        let bootsim = self.programs.join("hotshoe-bootsim");
        let guests = target().join("guests");
        let config = format!(
            r#"state = "state"
policy = "policy.toml"
boot_id_file = "boot-id"

[hub]
connection_string_file = "connection-string"
ca_file = "../hub/ca.pem"
port = {mqtt}

[download]
limit = "4GiB"
ca_file = "../hub/ca.pem"

[flash]
directory = "flash"
boot_control = "file"
slots = [
    {{ name = "a", file = "slot-a.img", size = "{slot}MiB" }},
    {{ name = "b", file = "slot-b.img", size = "{slot}MiB" }},
]

[restart]
command = ["{bootsim}", "restart", "--pid", "{pid}"]

[[repositories]]
name = "main"
root_file = "root.json"
metadata = "https://{host}:{https}/images/metadata/"
targets = "https://{host}:{https}/images/targets/"

[[plugins]]
file = "{guests}/firmware-update.wasm"

[[plugins]]
file = "{guests}/diagnostics.wasm"
"#,
            mqtt = self.mqtt_port,
            host = self.host,
            https = self.https_port,
            slot = options.slot_mib,
            bootsim = bootsim.display(),
            pid = folder.join("bootsim.pid").display(),
            guests = guests.display(),
        );
        fs::write(folder.join("device.toml"), config)?;
        let policy = format!(
            r#"[firmware]
unsigned = "{unsigned}"

[plugins."hotshoe.firmware-update"]
download = ["https://{host}:*/images/"]
flash = true
restart = true
storage = "8KiB"

[plugins."hotshoe.diagnostics"]
restart = true
"#,
            unsigned = options.unsigned,
            host = self.host,
        );
        fs::write(folder.join("policy.toml"), policy)?;
        Ok(())
    }

    /// Starts the device: the simulated boot loader and init, and `hotshoed` under them.
    pub(crate) fn start_device(&mut self) -> Result<()> {
        let folder = self.folder.join("device");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("hotshoed.log"))?;
        let child = Command::new(self.programs.join("hotshoe-bootsim"))
            .arg("run")
            .arg("--flash")
            .arg(folder.join("flash"))
            .arg("--boot-id")
            .arg(folder.join("boot-id"))
            .arg("--pid")
            .arg(folder.join("bootsim.pid"))
            .arg("--")
            .arg(self.programs.join("hotshoed"))
            .arg("--config")
            .arg(folder.join("device.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("could not start hotshoe-bootsim")?;
        self.device = Some(child);
        Ok(())
    }

    /// Stops the device as init would.
    pub(crate) fn stop_device(&mut self) -> Result<()> {
        if let Some(mut child) = self.device.take() {
            terminate(&mut child)?;
        }
        Ok(())
    }

    /// Waits until the device answers a direct method.
    pub(crate) fn await_device(&self) -> Result<()> {
        run(self
            .hotshoe()
            .args(["method", "invoke", DEVICE, "hotshoe.ping", "--connect-timeout", "60"])
            .stdout(Stdio::null()))
        .with_context(|| format!("the device did not come up; see {}/hotshoed.log", self.folder.display()))
    }

    /// The operator's tool, pointed at this hub.
    pub(crate) fn hotshoe(&self) -> Command {
        let mut command = Command::new(self.programs.join("hotshoe"));
        command.arg("--connection-string-file").arg(self.owner()).arg("--ca").arg(self.certificate());
        command
    }

    /// `hotshoe repo …` on the repository that the hub serves under `/images/`; its keys lie elsewhere.
    pub(crate) fn repo(&self, task: &str) -> Command {
        let mut command = Command::new(self.programs.join("hotshoe"));
        command.args(["repo", task, "--repo"]).arg(self.folder.join("images"));
        command.arg("--keys").arg(self.folder.join("keys"));
        command
    }

    /// Signs an image and publishes it; returns the URL under which it is a target.
    pub(crate) fn publish(&self, image: &Path, version: &str) -> Result<String> {
        let told = capture(self.repo("add").arg(image).args(["--version", version, "--json"]))?;
        run(self.repo("publish").stdout(Stdio::null()))?;
        let told: Value = serde_json::from_str(&told)?;
        let name = told.get("target").and_then(Value::as_str).context("hotshoe repo add named no target")?;
        Ok(self.image_url(&format!("targets/{name}")))
    }

    /// The file with the owner's connection string.
    pub(crate) fn owner(&self) -> PathBuf {
        self.folder.join("hub/owner.connection-string")
    }

    /// The certificate that the hub's leads to.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("hub/ca.pem")
    }

    /// The end of the device's log, for an error's text.
    pub(crate) fn device_log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("hotshoed.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("the end of the device's log:\n{}", lines.get(from..).unwrap_or_default().join("\n"))
    }

    /// The URL under which the hub serves an image of this name.
    pub(crate) fn image_url(&self, name: &str) -> String {
        format!("https://{}:{}/images/{name}", self.host, self.https_port)
    }

    /// The file of a slot.
    pub(crate) fn slot(&self, name: &str) -> PathBuf {
        self.folder.join(format!("device/flash/slot-{name}.img"))
    }

    /// The twin's reported properties.
    pub(crate) fn reported(&self) -> Result<Value> {
        let twin = capture(self.hotshoe().args(["--json", "twin", "show", DEVICE]))?;
        let twin: Value = serde_json::from_str(&twin)?;
        Ok(twin.pointer("/properties/reported").cloned().unwrap_or_default())
    }

    /// Waits until the hub ends.
    pub(crate) fn wait(&mut self) -> Result<()> {
        self.hub.wait()?;
        Ok(())
    }

    /// The process id of `hotshoed` below the simulated init.
    pub(crate) fn hotshoed_pid(&self) -> Result<u32> {
        let init = self.device.as_ref().context("the device is not running")?.id();
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"))?;
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).context("hotshoed is not running")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.stop_device();
        let _ = terminate(&mut self.hub);
    }
}

/// Makes a file of pseudo-random bytes that no compressor and no sparse file can cheat on, and returns its digest.
pub(crate) fn make_image(path: &Path, mib: u64) -> Result<()> {
    use std::io::Write as _;
    let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ mib;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..mib {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.flush()?;
    Ok(())
}

/// The SHA-256 of a file in hexadecimal, by `sha256sum`.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let line = capture(Command::new("sha256sum").arg(path).current_dir(root()))?;
    line.split(' ').next().map(str::to_owned).context("sha256sum printed nothing")
}

/// SIGTERM, then SIGKILL after ten seconds.
pub(crate) fn terminate(child: &mut Child) -> Result<()> {
    run(Command::new("kill").arg("-TERM").arg(child.id().to_string()).stderr(Stdio::null())).ok();
    for _ in 0..200 {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill()?;
    child.wait()?;
    bail!("process {} had to be killed", child.id());
}
