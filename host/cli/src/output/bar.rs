//! How far long work over bytes has come, for a person on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;

const TEMPLATE: &str = "{spinner} {msg:<12} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";

/// A bar that moves, or nothing where nobody watches. Goes away when it is dropped.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Begins work over so many bytes.
    pub(crate) fn new(output: &Output, what: &str, bytes: u64) -> Self {
        Bar(output.moving().then(|| {
            let bar = ProgressBar::new(bytes);
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar
        }))
    }

    /// So many bytes more are done.
    pub(crate) fn done(&self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes as u64);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
