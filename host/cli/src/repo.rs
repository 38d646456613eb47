//! `hotshoe repo …`: a signed repository (TUF) of plugins and firmware images, authored.
//!
//! Three hands, three commands, none of which needs the keys of another: a vendor or a builder adds (`targets`, or a role
//! of their own), an operator or a timer publishes (`snapshot`, `timestamp`), and whoever keeps the root keys changes who
//! may do so. Nothing that was written is ever changed but `timestamp.json`, and that last ([`store`]).
//!
//! Names and `custom` are those of `hotshoe_core::target`, which the device reads.

mod add;
mod delegate;
mod init;
mod keys;
mod publish;
mod refresh;
mod rotate;
mod sign;
mod store;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    args::RepoCommand,
    failure::{Exit, Failure},
    output::Output,
};

/// How long roots and lists of targets hold: their keys are used seldom.
const YEAR: u16 = 365;

/// What every command is given.
struct Desk<'a> {
    output: &'a Output,
    now: Timestamp,
}

/// Carries out a command.
pub(crate) fn run(output: &Output, command: &RepoCommand, now: Timestamp) -> Result<(), Failure> {
    let desk = Desk { output, now };
    match command {
        RepoCommand::Init(init) => init::run(&desk, init),
        RepoCommand::Key { file } => key(&desk, file),
        RepoCommand::Add(add) => add::run(&desk, add),
        RepoCommand::Delegate(delegate) => delegate::run(&desk, delegate),
        RepoCommand::Publish(publish) => publish::run(&desk, publish),
        RepoCommand::Refresh(refresh) => refresh::run(&desk, refresh),
        RepoCommand::RotateRoot(rotate) => rotate::run(&desk, rotate),
    }
}

fn key(desk: &Desk<'_>, file: &Path) -> Result<(), Failure> {
    let signer = keys::Signer::generate(file)?;
    let public = keys::public_file(file);
    let lines = [
        format!("made the key {}; it stays with you", file.display()),
        format!("give {} to the operator of the repository", public.display()),
    ];
    desk.told(&lines, json!({ "key": file, "public": public, "id": signer.id }))
}

impl Desk<'_> {
    /// The moment so many days from now, in whole seconds.
    fn in_days(&self, days: u16) -> Result<Timestamp, Failure> {
        let whole = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        whole
            .checked_add(SignedDuration::from_hours(24 * i64::from(days)))
            .map_err(|error| Failure::new(Exit::Usage, format!("{days} days from now is no time: {error}")))
    }

    /// Says what was done: lines for people, a document for programs.
    fn told(&self, lines: &[String], document: Value) -> Result<(), Failure> {
        if self.output.json() {
            return self.output.document(&document);
        }
        lines.iter().try_for_each(|line| self.output.line(line))
    }
}
