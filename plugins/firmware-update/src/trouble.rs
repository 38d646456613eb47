//! Errors on the way: which are tried again, and what is told about the others.
//!
//! Whether a retry can help is a matter of the error and stands with it in the SDK. How often is ours:
//! [`ATTEMPTS`] runs, between which the host's pause grows; then the update has failed.

use hotshoe_guest::{Failure, SaveError, download, flash, report};

/// How many runs in a row may end badly before the update has failed.
pub const ATTEMPTS: u32 = 8;

/// The longest message that is told, in bytes. A string of the twin holds 4096.
const MESSAGE_LIMIT: usize = 1024;

/// Where it happened: the dialects have different words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On the way from the server to the device.
    Download,
    /// On the way into the slot, or to the boot.
    Apply,
}

/// An error that ended a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub stage: Stage,
    /// A short name, for programs.
    pub code: &'static str,
    /// What happened, for people.
    pub message: String,
    /// Whether a retry can help.
    pub transient: bool,
}

impl Trouble {
    pub(crate) fn new(stage: Stage, code: &'static str, message: String, transient: bool) -> Trouble {
        Trouble { stage, code, message: shortened(&message), transient }
    }

    /// How the run ends when the job is to be run again.
    pub fn failure(&self) -> Failure {
        match self.transient {
            true => Failure::Transient(self.message.clone()),
            false => Failure::Permanent(self.message.clone()),
        }
    }
}

/// A text as far as it is told.
pub fn shortened(text: &str) -> String {
    let end = (0..=MESSAGE_LIMIT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
}

impl From<download::Error> for Trouble {
    fn from(error: download::Error) -> Trouble {
        Trouble::new(Stage::Download, error.code(), error.to_string(), error.is_transient())
    }
}

impl From<flash::Error> for Trouble {
    fn from(error: flash::Error) -> Trouble {
        Trouble::new(Stage::Apply, error.code(), error.to_string(), error.is_transient())
    }
}

impl From<flash::ReceiveError> for Trouble {
    fn from(error: flash::ReceiveError) -> Trouble {
        match error {
            flash::ReceiveError::Download(error) => error.into(),
            flash::ReceiveError::Flash(error) => error.into(),
        }
    }
}

impl From<report::Error> for Trouble {
    fn from(error: report::Error) -> Trouble {
        Trouble::new(Stage::Apply, "report", error.to_string(), error.is_transient())
    }
}

impl From<SaveError> for Trouble {
    fn from(error: SaveError) -> Trouble {
        Trouble::new(Stage::Apply, "checkpoint", error.to_string(), error.is_transient())
    }
}
