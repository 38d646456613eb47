//! An update as it moves: a bar on a terminal, a line for every phase elsewhere, nothing for programs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::follow::Moving;
use crate::{
    failure::Failure,
    output::{Output, harmless},
};

const SPINNER: &str = "{spinner} {msg} {elapsed}";
const BYTES: &str = "{spinner} {msg} {bytes} {binary_bytes_per_sec} {elapsed}";
const BAR: &str = "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";

/// Shows one update.
pub(super) struct Display<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    phase: String,
    template: &'static str,
    away: bool,
}

impl<'a> Display<'a> {
    /// Begins with nothing to see.
    pub(super) fn new(output: &'a Output) -> Self {
        let bar = output.moving().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message("waiting for the device");
            bar
        });
        Display { output, bar, phase: String::new(), template: "", away: false }
    }

    /// Shows where the update stands.
    pub(super) fn show(&mut self, moving: &Moving) -> Result<(), Failure> {
        self.away = false;
        let entered = self.phase != moving.phase;
        self.phase.clone_from(&moving.phase);
        let Some(bar) = &self.bar else {
            if entered && !self.output.json() {
                self.output.line(&harmless(&moving.phase))?;
            }
            return Ok(());
        };
        // The style comes last: each of these may draw, and nothing of the last phase is to flash up.
        bar.set_message(format!("{:<12}", harmless(&moving.phase)));
        if entered {
            bar.reset();
        }
        if let Some((done, total)) = moving.progress {
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_position(done);
        }
        let template = match moving.progress {
            Some((_, Some(_))) => BAR,
            Some((_, None)) => BYTES,
            None => SPINNER,
        };
        if template != self.template {
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            self.template = template;
        }
        Ok(())
    }

    /// Says once that the hub does not answer for the moment.
    pub(super) fn away(&mut self, why: &str) {
        if self.away {
            return;
        }
        self.away = true;
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(&format!("{why}; still trying"))),
            None => self.output.note(&format!("{why}; still trying")),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
