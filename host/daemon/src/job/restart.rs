//! Restarting the device: as a rule a configured command that asks init for it.
//!
//! It asks and returns; the restart itself ends this process with `SIGTERM`. Whether it has happened is
//! told by the boot id afterwards, never by the command.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;

use super::guest::Doing;

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What restarts the device.
pub trait Restart: Send + Sync + 'static {
    /// Asks for the restart. `Ok` says that it was asked for, not that it has happened. An error says what was asked,
    /// what came of it, and what to do.
    fn ask(&self) -> Doing<Result<(), String>>;
}

/// The command that restarts the device, such as `["systemctl", "reboot"]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestartCommand {
    words: Vec<String>,
    secrets: &'static [&'static str],
}

impl RestartCommand {
    /// A program and its arguments; empty where the device cannot be restarted from here. The environment
    /// variables in `secrets` are kept from it.
    pub fn new(words: Vec<String>, secrets: &'static [&'static str]) -> RestartCommand {
        RestartCommand { words, secrets }
    }

    async fn run(self) -> Result<(), String> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(
                "no restart command is configured; set `command` in [restart] of device.toml".to_owned()
            );
        };
        let mut command = Command::new(program);
        command.args(arguments);
        for secret in self.secrets {
            command.env_remove(secret);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = match tokio::time::timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                return Err(format!("the restart command {program:?} could not be run: {error}"));
            }
            Err(_) => return Err(format!("the restart command {program:?} took longer than {LIMIT:?}")),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(256).collect();
        Err(format!("the restart command {program:?} failed ({}): {said}", output.status))
    }
}

impl Restart for Arc<dyn Restart> {
    fn ask(&self) -> Doing<Result<(), String>> {
        self.as_ref().ask()
    }
}

impl Restart for RestartCommand {
    fn ask(&self) -> Doing<Result<(), String>> {
        Box::pin(self.clone().run())
    }
}
