//! `hotshoe dev`: a plugin under the author's hands, on a real device with a real hub, swapped at every save.
//!
//! Nothing here is simulated but boot loader and init, and nothing is done by another way than an operator's: the plugin
//! goes in through the device's admin socket by `hotshoe plugin install`. So what is refused here is refused in the field,
//! and in the same words. Hub and device are processes of their own in a directory that goes when the command ends.
//!
//! It watches the crate's own sources, not those of its dependencies.

mod figures;
mod programs;
mod stand;
mod watch;

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use self::{figures::Figures, programs::Programs, stand::Stand, watch::Watch};
use crate::{
    admin::Admin,
    args, build,
    failure::{Exit, Failure},
    output::Output,
};

/// The one device of the stand.
const DEVICE: &str = "dev";

/// Carries out the command.
pub(crate) fn run(output: &Output, command: &args::Dev) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::OsError, format!("could not start: {error}")))?;
    runtime.block_on(develop(output, command))
}

async fn develop(output: &Output, command: &args::Dev) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::OsError, format!("could not listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let programs = Programs::find()?;
    let mut watch = Watch::start(&command.directory)?;
    let mut stand = Stand::start(&programs, command.policy.as_deref()).await?;
    let ended = tokio::select! {
        ended = work(output, command, programs, &mut watch, &mut stand) => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    stand.stop().await;
    if output.is_read() { ended } else { Ok(()) }
}

/// Swaps at every save, until something fails.
async fn work(
    output: &Output,
    command: &args::Dev,
    programs: Programs,
    watch: &mut Watch,
    stand: &mut Stand,
) -> Result<(), Failure> {
    say(
        output,
        "stand",
        &format!("hub and device run; call the plugin with: {}", stand.line("method invoke")),
    )?;
    let mut bench = Bench { output, directory: command.directory.clone(), programs, live: None, logs: None };
    bench.swap(stand).await?;
    let admin = Admin::new(&stand.socket)?;
    let mut figures = Figures::default();
    loop {
        tokio::select! {
            changed = watch.changed() => {
                changed?;
                bench.swap(stand).await?;
            }
            told = figures.next(&admin, bench.live.as_deref()) => say(output, "used", &told)?,
            ended = stand.ended() => return Err(ended),
        }
    }
}

/// One line of what happens, for people or for programs. A failure where nobody reads it: then there is nobody to work for.
fn say(output: &Output, what: &str, text: &str) -> Result<(), Failure> {
    if output.json() {
        output.json_line(&json!({ "event": what, "text": text }))?;
    } else {
        output.line(&format!("{} {text}", output.strong(&format!("{what:>7}"))))?;
    }
    match output.is_read() {
        true => Ok(()),
        false => Err(Failure::new(Exit::IoError, "nobody reads any more what happens")),
    }
}

/// The plugin between the author and the device.
struct Bench<'a> {
    output: &'a Output,
    directory: PathBuf,
    programs: Programs,
    /// The name of the plugin, once a version of it serves.
    live: Option<String>,
    /// Shows the lines that it logs. Ends with this.
    logs: Option<tokio::process::Child>,
}

impl Bench<'_> {
    /// Builds and installs. What goes wrong with the plugin is told and is no failure: the next save may mend it.
    async fn swap(&mut self, stand: &Stand) -> Result<(), Failure> {
        say(self.output, "build", &self.directory.display().to_string())?;
        let (directory, quiet) = (self.directory.clone(), !self.output.moving());
        let built = tokio::task::spawn_blocking(move || build::build(&directory, None, &[], quiet)).await;
        let built = match built.map_err(|error| Failure::new(Exit::Software, error.to_string()))? {
            Ok(built) => built,
            Err(failure) => return self.refused(&failure.text, failure.hint.as_deref()),
        };
        let name = built.manifest.name.to_string();
        match self.install(stand, &name, built.bytes).await {
            Ok(version) => say(self.output, "live", &format!("{name} {version}"))?,
            Err(failure) => return self.refused(&failure.text, failure.hint.as_deref()),
        }
        if self.logs.is_none() {
            self.logs = self.logs_of(stand, &name).spawn().ok();
        }
        self.live = Some(name);
        Ok(())
    }

    /// Through the device's door, as an operator would; returns the version that serves. Rights that are new are granted:
    /// on this device the author is the operator too.
    async fn install(&self, stand: &Stand, name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
        let admin = Admin::new(&stand.socket)?;
        let mut done = admin.install("/plugins", "application/wasm", bytes, |_| {}).await?;
        if done.get("outcome").and_then(Value::as_str) == Some("held") {
            say(self.output, "grant", "it asks for more than before, and gets it as far as the policy goes")?;
            done = admin.act(Method::POST, &format!("/plugins/{name}/grant")).await?;
        }
        let version = done.pointer("/plugin/version").and_then(Value::as_str).unwrap_or("of the same bytes");
        Ok(version.to_owned())
    }

    fn refused(&self, reason: &str, hint: Option<&str>) -> Result<(), Failure> {
        let still = match &self.live {
            Some(name) => format!("{reason}; the version of {name} before goes on serving"),
            None => format!("{reason}; nothing serves yet"),
        };
        say(self.output, "refused", &still)?;
        hint.map_or(Ok(()), |hint| say(self.output, "hint", hint))
    }

    fn logs_of(&self, stand: &Stand, name: &str) -> Command {
        let mut command = Command::new(&self.programs.hotshoe);
        command.args(["plugin", "logs", "--follow", name, "--socket"]).arg(&stand.socket).kill_on_drop(true);
        if self.output.json() {
            command.arg("--json");
        }
        command
    }
}
