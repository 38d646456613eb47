//! A device: boot loader and init in `hotshoe-bootsim`, which keeps `hotshoed` running.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::programs::{Kept, plugin, program};
use super::{Setting, until};

/// Where a firmware update stands, by its checkpoint. An image that is known beforehand is received and sealed; one
/// that is not is stored, fetched and staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Receiving,
    Sealing,
    Storing,
    Fetched,
    Staging,
    Booting,
    Confirming,
}

impl Phase {
    const ALL: [Phase; 7] = [
        Phase::Receiving,
        Phase::Sealing,
        Phase::Storing,
        Phase::Fetched,
        Phase::Staging,
        Phase::Booting,
        Phase::Confirming,
    ];

    fn name(self) -> &'static str {
        match self {
            Phase::Receiving => "receiving",
            Phase::Sealing => "sealing",
            Phase::Storing => "storing",
            Phase::Fetched => "fetched",
            Phase::Staging => "staging",
            Phase::Booting => "booting",
            Phase::Confirming => "confirming",
        }
    }

    /// Whether an update that has come to this phase has come at least to the other, on either way.
    fn is_at_least(self, other: Phase) -> bool {
        let rank = |phase: Phase| match phase {
            Phase::Receiving | Phase::Storing => 0,
            Phase::Fetched => 1,
            Phase::Sealing | Phase::Staging => 2,
            Phase::Booting => 3,
            Phase::Confirming => 4,
        };
        rank(self) >= rank(other)
    }
}

/// A device with the slots `a` and `b`.
pub struct Device {
    directory: PathBuf,
    log: &'static str,
    init: Option<Kept>,
}

impl Device {
    pub(super) fn start(
        directory: &Path,
        ca: &Path,
        connection: &str,
        mqtt_port: u16,
        setting: &Setting,
    ) -> Device {
        fs::create_dir_all(directory).unwrap();
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        write("connection-string", connection);
        write("policy.toml", &policy(setting));
        write("device.toml", &config(directory, ca, mqtt_port, setting));
        // A new image that hangs before it comes to the host: see `break_next_boot`.
        let hotshoed = env!("CARGO_BIN_EXE_hotshoed");
        write(
            "start",
            &format!(
                "#!/bin/sh\ncd '{0}'\nif [ -e hang ] && [ ! -e hung ]; then touch hung; exec sleep 1000; fi\n\
                 rm -f hung\nexec '{hotshoed}' --config device.toml --log-format json 2>>log\n",
                directory.display()
            ),
        );
        let mut device = Device { directory: directory.to_owned(), log: setting.log, init: None };
        device.power_on();
        device
    }

    /// Boots.
    pub fn power_on(&mut self) {
        let mut command = Command::new(program("hotshoe-bootsim"));
        command.arg("run").arg("--flash").arg(self.path("flash"));
        command.arg("--boot-id").arg(self.path("boot-id")).arg("--pid").arg(self.path("pid"));
        command.arg("--").arg("sh").arg(self.path("start"));
        let init = command.env("HOTSHOE_LOG", self.log).stdin(Stdio::null()).spawn().unwrap();
        self.init = Some(Kept(init));
    }

    /// Ends everything in order.
    pub fn power_off(&mut self) {
        self.init = None;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What is in a slot.
    pub fn slot(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("flash").join(format!("slot-{name}.img"))).unwrap()
    }

    /// The admin socket.
    pub fn socket(&self) -> PathBuf {
        self.path("state/admin.sock")
    }

    /// A version of a plugin as a file: the built one, with `change` made to its manifest.
    pub fn version_of(&self, name: &str, file: &str, change: impl FnOnce(String) -> String) -> PathBuf {
        let component = fs::read(plugin(name)).unwrap();
        let (_, manifest) = hotshoe_core::package::read(&component).unwrap();
        let path = self.path(file);
        fs::write(&path, hotshoe_core::package::embed(&component, &change(manifest))).unwrap();
        path
    }

    /// What the device has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// How often the host has connected to the hub.
    pub fn connections(&self) -> usize {
        self.log().matches("\"message\":\"connected\"").count()
    }

    /// How often the host has come up whole, its plugins mounted.
    pub fn times_ready(&self) -> usize {
        self.log().matches("\"message\":\"ready\"").count()
    }

    /// Runs the operator's tool over the admin socket; it must succeed. What it prints comes back.
    pub async fn hotshoe(&self, words: &[&str]) -> String {
        let (succeeded, output) = self.try_hotshoe(words).await;
        assert!(succeeded, "hotshoe {words:?}: {output}");
        output
    }

    /// Runs the operator's tool over the admin socket: whether it succeeded, and all that it prints.
    pub async fn try_hotshoe(&self, words: &[&str]) -> (bool, String) {
        let mut command = tokio::process::Command::new(program("hotshoe"));
        command.args(words).env("HOTSHOE_ADMIN_SOCKET", self.socket());
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs `hotshoe` against the admin socket: its exit code, standard output and error.
    pub async fn exit_of_hotshoe(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = tokio::process::Command::new(program("hotshoe"));
        command.args(arguments).arg("--socket").arg(self.socket()).stdin(Stdio::null()).kill_on_drop(true);
        let ran = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code().unwrap(), text(ran.stdout), text(ran.stderr))
    }

    /// Starts the operator's tool over the admin socket and waits until it prints this, or ends.
    pub async fn hotshoe_until(&self, words: &[&str], printed: &str) {
        use tokio::io::{AsyncBufReadExt, BufReader};

        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program("hotshoe")).args(words);
        command.env("HOTSHOE_ADMIN_SOCKET", self.path("state/admin.sock")).kill_on_drop(true);
        let mut tool = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tool.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(printed) {
                return;
            }
        }
    }

    /// `kill -9` of the host; init starts it again.
    pub async fn kill(&self) {
        let pid = self.host().await;
        kill_process(pid, Signal::KILL).unwrap();
        // So that the next kill does not hit the same one.
        until("the host is dead", || self.try_host() != Some(pid)).await;
    }

    /// Cuts the power and boots.
    pub fn power_cut(&self) {
        let mut command = Command::new(program("hotshoe-bootsim"));
        let done = command.arg("power-cut").arg("--pid").arg(self.path("pid")).status().unwrap();
        assert!(done.success());
    }

    /// From now on every other boot hangs before it comes to the host, the next one first: those of a new image, where
    /// the boot loader falls back in between.
    pub fn hang(&self, hang: bool) {
        match hang {
            true => fs::write(self.path("hang"), "").unwrap(),
            false => fs::remove_file(self.path("hang")).unwrap(),
        }
    }

    /// Waits until a firmware update has saved that it has come to this phase, or beyond.
    pub async fn until_phase(&self, phase: Phase) {
        let later: Vec<String> = Phase::ALL
            .into_iter()
            .filter(|other| other.is_at_least(phase))
            .map(|phase| format!("\"phase\":\"{}\"", phase.name()))
            .collect();
        until(&format!("the update has come to {phase:?}"), || {
            self.jobs().iter().any(|job| later.iter().any(|phase| job.contains(phase)))
        })
        .await;
    }

    /// Waits until every job that was accepted is over, whatever came of it. Nobody asks the host, which may end with
    /// the question in its hands.
    pub async fn until_jobs_end(&self) {
        until("all jobs are over", || self.jobs().iter().all(|job| job.contains("\"state\":{\"ended\":")))
            .await;
    }

    /// The jobs as they are stored.
    pub fn jobs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("state/jobs")) else { return Vec::new() };
        entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect()
    }

    /// The host's process.
    pub async fn host(&self) -> Pid {
        let mut found = None;
        until("the host runs", || {
            found = self.try_host();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    fn try_host(&self) -> Option<Pid> {
        let init = i32::try_from(self.init.as_ref()?.0.id()).ok()?;
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // pid (name) state parent …
            let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else {
                continue;
            };
            let mut fields = rest.split(' ');
            let (state, parent) =
                (fields.next(), fields.next().and_then(|parent| parent.parse::<i32>().ok()));
            if name == "hotshoed" && state != Some("Z") && parent == Some(init) {
                return Pid::from_raw(id);
            }
        }
        None
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.iter().skip(lines.len().saturating_sub(60));
            eprintln!("the end of the device's log:");
            tail.for_each(|line| eprintln!("  {}", line.chars().take(400).collect::<String>()));
        }
    }
}

fn policy(setting: &Setting) -> String {
    format!(
        "[firmware]\nunsigned = \"{}\"\n\n[plugins]\nunsigned = \"{}\"\ndowngrade = true\n\n[plugins.\"*\"]\ndownload = [\"https://localhost:*/images/\"]\n\
         flash = true\nrestart = true\nstorage = \"64KiB\"\ntelemetry = true\n\n{}\n",
        setting.unsigned, setting.unsigned_plugins, setting.policy
    )
}

fn config(directory: &Path, ca: &Path, mqtt_port: u16, setting: &Setting) -> String {
    let bootsim = program("hotshoe-bootsim");
    let restart = match setting.restart.is_empty() {
        true => {
            let pid = directory.join("pid");
            format!("\"{}\", \"restart\", \"--pid\", \"{}\"", bootsim.display(), pid.display())
        }
        false => format!("\"{}\"", setting.restart),
    };
    let mut text = format!(
        "state = \"state\"\npolicy = \"policy.toml\"\nboot_id_file = \"boot-id\"\n\n\
         [hub]\nconnection_string_file = \"connection-string\"\nca_file = \"{ca}\"\nport = {mqtt_port}\n\n\
         [download]\nca_file = \"{ca}\"\nbackoff = \"50ms\"\n\n\
         [flash]\ndirectory = \"flash\"\n\
         [[flash.slots]]\nname = \"a\"\nfile = \"slot-a.img\"\nsize = \"{slot}MiB\"\n\
         [[flash.slots]]\nname = \"b\"\nfile = \"slot-b.img\"\nsize = \"{slot}MiB\"\n\n\
         [restart]\ncommand = [{restart}]\n\n\
         [safe_mode]\nstarts = 1000\n\n\
         [fence]\nread = [\"{world}\"]\n",
        world = directory.parent().unwrap_or(directory).display(),
        ca = ca.display(),
        slot = setting.image.div_ceil(1 << 20).max(8),
    );
    for name in &setting.plugins {
        write!(text, "\n[[plugins]]\nfile = \"{}\"\n", plugin(name).display()).unwrap();
    }
    text
}
