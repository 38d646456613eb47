//! What went wrong, for a person and for a script: one sentence, what to do about it, and an exit code of sysexits.

use std::{fmt, process::ExitCode};

/// The exit codes; the numbers are those of `sysexits.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// The command line is wrong.
    Usage = 64,
    /// What was given is not what it must be: a payload, a patch.
    Data = 65,
    /// A file or a device is not there.
    NoInput = 66,
    /// The hub or the device cannot be reached; a program that is needed is not there.
    Unavailable = 69,
    /// A part of the system did what it should not; an update failed.
    Software = 70,
    /// The machine itself; an update was rolled back.
    OsError = 71,
    /// A file cannot be written.
    CantCreate = 73,
    /// The result cannot be printed: the disk behind standard output is full.
    IoError = 74,
    /// It may work later.
    TempFail = 75,
    /// The hub, the device or a policy does not allow it.
    NoPermission = 77,
    /// The connection string, the certificates or a configuration file are wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What was tried and what happened.
    pub(crate) text: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The hub's HTTP status, where it answered.
    pub(crate) status: Option<u16>,
    /// The hub's error code or name, where it gave one.
    pub(crate) code: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Failure { exit, text: text.into(), hint: None, status: None, code: None }
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
