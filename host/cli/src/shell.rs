//! `hotshoe completions` and `hotshoe man`: out of the declaration of the command line, so that they cannot be wrong.

use std::{fs, io::Write as _};

use clap::CommandFactory as _;
use serde_json::json;

use crate::{
    args::{Arguments, Completions, Man},
    failure::{Exit, Failure},
    output::Output,
};

/// Prints a shell's completions.
pub(crate) fn completions(completions: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Arguments::command(), "hotshoe", &mut script);
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&script).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::IoError, format!("could not print the completions: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes the manual pages.
pub(crate) fn man(output: &Output, man: &Man) -> Result<(), Failure> {
    let shown = man.directory.display();
    let failed = |error: std::io::Error| {
        Failure::new(Exit::CantCreate, format!("could not write manual pages into {shown}: {error}"))
    };
    fs::create_dir_all(&man.directory).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &man.directory).map_err(failed)?;
    if output.json() {
        return output.document(&json!({ "directory": man.directory }));
    }
    output.line(&format!("wrote the manual pages into {shown}"))
}
