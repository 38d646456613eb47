//! The restart command, outside.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use super::{Answer, Line, serve};
use crate::disk::blocking;
use crate::job::{Doing, Restart, RestartCommand};

/// The first word of its command line; the command follows.
pub(super) const WORD: &str = "restart-command-outside";
/// The most bytes of an answer.
const LIMIT: u64 = 64 * 1024;
const DONE: u8 = 0;
const FAILED: u8 = 1;

/// Runs the restart command in a process outside of the fence.
#[derive(Clone, Debug)]
pub struct RestartOutside(Arc<Line>);

impl RestartOutside {
    /// Starts the process: before the fence is raised. The environment variables in `secrets` are kept from it.
    ///
    /// # Errors
    /// When this program cannot be run once more.
    pub fn start(command: &[String], secrets: &[&str]) -> io::Result<RestartOutside> {
        let words = [WORD.to_owned()].into_iter().chain(command.iter().cloned());
        let words: Vec<OsString> = words.map(OsString::from).collect();
        Ok(RestartOutside::on(Line::start(&words, secrets)?))
    }

    pub(super) fn on(line: Line) -> RestartOutside {
        RestartOutside(Arc::new(line))
    }
}

impl Restart for RestartOutside {
    fn ask(&self) -> Doing<Result<(), String>> {
        let line = Arc::clone(&self.0);
        Box::pin(async move {
            match blocking(move || line.ask(&[], LIMIT)).await {
                Ok(Ok((DONE, _))) => Ok(()),
                Ok(Ok((_, text))) => Err(String::from_utf8_lossy(&text).into_owned()),
                Ok(Err(broken)) => Err(format!("the restart command was not run: {broken}")),
                Err(error) => Err(format!("the restart command cannot be asked for: {error}")),
            }
        })
    }
}

/// The process.
pub(super) fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let command = RestartCommand::new(words, &[]);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    serve(0, |_| -> Answer {
        match runtime.block_on(command.ask()) {
            Ok(()) => (DONE, Vec::new()),
            Err(text) => (FAILED, text.into_bytes()),
        }
    })
}
