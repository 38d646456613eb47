//! `log`: lines of a plugin in the device's log.
//!
//! A log is read by people and by programs that look for patterns in it, and it stands on a disk. So a line is cut
//! at 4 KiB, control characters are escaped (no plugin writes a line that looks like another's, nor colours), and
//! a plugin that writes faster than its rate loses lines, which are counted and told. The rate is the plugin's, over
//! all of its calls. What is written is kept for a while for whoever asks the admin socket (`history`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hotshoe_core::manifest::{Manifest, PluginName};
use prometheus_client::metrics::counter::Counter;
use tracing::Level;

use super::Context;
use super::bindings::hotshoe::plugin::log;
use super::device::WallClock;
use super::history::{Author, History, Line};

/// The most of one line, message and fields together, in bytes.
const LINE_LIMIT: usize = 4096;
/// Lines a plugin may write at once, and then per second.
const BURST: f64 = 100.0;
const RATE: f64 = 20.0;

/// Where a plugin's lines go, and how many there may be.
pub struct LogSink {
    plugin: PluginName,
    version: String,
    bucket: Mutex<Bucket>,
    history: Arc<History>,
    clock: WallClock,
    dropped: Counter,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    dropped: u64,
}

impl LogSink {
    /// A sink for this plugin, whose lines are kept in `history`, and counted in `dropped` where they are too many.
    pub fn new(manifest: &Manifest, history: Arc<History>, clock: WallClock, dropped: Counter) -> LogSink {
        let bucket = Mutex::new(Bucket { tokens: BURST, filled: Instant::now(), dropped: 0 });
        let version = manifest.version.to_string();
        LogSink { plugin: manifest.name.clone(), version, bucket, history, clock, dropped }
    }

    /// Writes a line, if the rate allows.
    pub(super) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let Some(dropped) = self.admit(Instant::now()) else { return };
        let (plugin, version) = (self.plugin.as_str(), self.version.as_str());
        if dropped > 0 {
            tracing::warn!(plugin, version, dropped, "log lines over the plugin's rate");
            self.host(Level::WARN, &format!("{dropped} log lines over the plugin's rate were dropped"));
        }
        let mut left = LINE_LIMIT;
        let message = plain(message, &mut left);
        let mut text = String::new();
        for (name, value) in fields {
            // What stands between them is of the line, too: a field may be empty.
            left = left.saturating_sub(2);
            if left == 0 {
                break;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&plain(name, &mut left));
            text.push('=');
            text.push_str(&plain(value, &mut left));
        }
        let fields = (!text.is_empty()).then_some(text);
        {
            let fields = fields.as_deref();
            match level {
                Level::ERROR => tracing::error!(target: "plugin", plugin, version, fields, "{message}"),
                Level::WARN => tracing::warn!(target: "plugin", plugin, version, fields, "{message}"),
                Level::INFO => tracing::info!(target: "plugin", plugin, version, fields, "{message}"),
                _ => tracing::debug!(target: "plugin", plugin, version, fields, "{message}"),
            }
        }
        self.keep(Author::Plugin, level, message, fields);
    }

    /// Adds what the host has to say about the plugin to its history. The device's log has it from who calls this.
    pub(crate) fn host(&self, level: Level, message: &str) {
        let mut left = LINE_LIMIT;
        self.keep(Author::Host, level, plain(message, &mut left), None);
    }

    fn keep(&self, author: Author, level: Level, message: String, fields: Option<String>) {
        let at = u64::try_from((self.clock)().as_millis()).unwrap_or(u64::MAX);
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let version = self.version.clone();
        self.history.add(Line { number: 0, at, version, author, level, message, fields });
    }

    /// Takes a token. The number is how many lines were dropped since the last one that was not.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * RATE).min(BURST);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            bucket.dropped = bucket.dropped.saturating_add(1);
            self.dropped.inc();
            return None;
        }
        bucket.tokens -= 1.0;
        Some(std::mem::take(&mut bucket.dropped))
    }
}

/// The text without control characters, cut to what is left of the line.
pub(crate) fn plain(text: &str, left: &mut usize) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        let hidden =
            character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let start = plain.len();
        if hidden {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
        let size = plain.len().saturating_sub(start);
        if size > *left {
            plain.truncate(start);
            plain.push('…');
            *left = 0;
            break;
        }
        *left = left.saturating_sub(size);
    }
    plain
}

impl log::Host for Context {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.entered("log.write");
        let level = match level {
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.tenant.log.write(level, &message, &fields);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hotshoe_core::manifest;

    use super::*;

    #[test]
    fn lines_over_the_rate_are_counted_and_told_with_the_next_one() {
        let text = format!("name = \"acme.pump\"\nversion = \"1.0.0\"\napi = \"{}\"\n", manifest::API);
        let (history, counted) = (Arc::<History>::default(), Counter::default());
        let clock: WallClock = Arc::new(|| Duration::from_millis(7));
        let manifest = manifest::parse(&text).unwrap();
        let sink = LogSink::new(&manifest, Arc::clone(&history), clock, counted.clone());
        let now = Instant::now();
        for _ in 0..BURST as usize {
            assert_eq!(sink.admit(now), Some(0));
        }
        assert_eq!(sink.admit(now), None);
        assert_eq!(sink.admit(now), None);
        assert_eq!(counted.get(), 2);
        let later = now + Duration::from_secs(1);
        assert_eq!(sink.admit(later), Some(2));
        assert_eq!((0..100).filter(|_| sink.admit(later).is_some()).count(), RATE as usize - 1);
    }

    #[test]
    fn nothing_in_a_line_looks_like_another_line_or_steers_a_terminal() {
        let mut left = LINE_LIMIT;
        let text = plain("one\nERROR two\r\u{1b}[31m\0 \u{202e}back ünï", &mut left);
        assert_eq!(text, "one\\nERROR two\\r\\u{1b}[31m\\u{0} \\u{202e}back ünï");
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        let mut left = LINE_LIMIT;
        let text = plain(&"ü".repeat(4000), &mut left);
        assert_eq!((text.len(), left), (LINE_LIMIT + '…'.len_utf8(), 0));
        assert_eq!(plain("more", &mut left), "…");
    }
}
