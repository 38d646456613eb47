//! Where results go: tables for people, JSON for programs, errors and progress on stderr.
//!
//! Colours and moving bars appear on a terminal only, and not when `NO_COLOR` is set.
//!
//! A reader that has gone away (`hotshoe device list | head -1`) is no error: nothing more is printed, and the command
//! goes on to its own end, since its exit code is a result too (`hotshoe firmware update … | tee log`). Commands that
//! would only print for ever ask [`Output::is_read`] and end.

mod bar;
mod table;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

pub(crate) use bar::Bar;
pub(crate) use table::{Grid, Table, harmless, harmless_json};

use crate::failure::{Exit, Failure};

/// Where results go.
pub(crate) struct Output {
    json: bool,
    colour: bool,
    colour_errors: bool,
    terminal: bool,
    read: AtomicBool,
}

impl Output {
    /// Looks at what standard output and error are.
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = io::stdout().is_terminal() && !plain;
        let colour_errors = io::stderr().is_terminal() && !plain;
        let read = AtomicBool::new(true);
        Output { json, colour, colour_errors, terminal: io::stderr().is_terminal(), read }
    }

    /// Whether a program reads.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether a person watches, so that a progress bar may move on stderr.
    pub(crate) fn moving(&self) -> bool {
        self.terminal && !self.json
    }

    /// False once who read what is printed has gone away. Known only after the next line.
    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Prints one line, if anybody reads it.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        if !self.is_read() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.read.store(false, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(Failure::new(Exit::IoError, format!("could not print the result: {error}"))),
        }
    }

    /// Prints one JSON document: indented on a terminal, in one line else.
    pub(crate) fn document(&self, value: &Value) -> Result<(), Failure> {
        if self.colour { self.line(&harmless_json(&format!("{value:#}"))) } else { self.json_line(value) }
    }

    /// Prints one JSON document in one line: for many of them.
    pub(crate) fn json_line(&self, value: &Value) -> Result<(), Failure> {
        self.line(&harmless_json(&value.to_string()))
    }

    /// Prints a table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        table.lines(self.colour).iter().try_for_each(|line| self.line(line))
    }

    /// Prints a table whose columns are known only now.
    pub(crate) fn grid(&self, grid: &Grid) -> Result<(), Failure> {
        self.table(&Table::of(grid))
    }

    /// A text that stands out, where colours are.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says on stderr that something is amiss but goes on.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{}", self.paint("33", "note", text));
    }

    /// Says on stderr why a command failed, and what to do.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            let error = json!({
                "message": failure.text,
                "hint": failure.hint,
                "status": failure.status,
                "code": failure.code,
                "exit": failure.exit as u8,
            });
            let _ = writeln!(io::stderr(), "{}", json!({ "error": error }));
            return;
        }
        let _ = writeln!(io::stderr(), "{}", self.paint("31", "error", &failure.text));
        if let Some(hint) = &failure.hint {
            let _ = writeln!(io::stderr(), "{}", self.paint("36", " hint", hint));
        }
    }

    fn paint(&self, colour: &str, word: &str, text: &str) -> String {
        let text = harmless(text);
        if self.colour_errors {
            format!("\x1b[{colour}m{word}:\x1b[0m {text}")
        } else {
            format!("{word}: {text}")
        }
    }
}
