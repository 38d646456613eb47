//! The last log lines of each plugin, for an operator who looks now.
//!
//! The device's log has them all and belongs to the system; whoever asks the admin socket for a plugin's lines should
//! not need to know where that is. Kept in memory only, bounded in lines and in bytes for each plugin and in plugins;
//! all versions of a plugin share one history, and the host adds what it has to say about the plugin (a trap with
//! its backtrace, a swap). Whoever follows reads by number and is told how many lines it was too slow for: nobody
//! who writes ever waits for a reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hotshoe_core::manifest::PluginName;
use serde::Serialize;
use tokio::sync::watch;

/// The most lines that are kept of a plugin, and the most bytes of text.
const LINES: usize = 1000;
const BYTES: usize = 128 * 1024;
/// The most plugins of which lines are kept; those that are mounted come first.
const PLUGINS: usize = 64;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Author {
    /// The plugin.
    Plugin,
    /// The host, about the plugin.
    Host,
}

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Counts from 1 for each plugin, since the process began; set by [`History::add`].
    pub number: u64,
    /// When, in milliseconds since the Unix epoch, by the device's clock.
    pub at: u64,
    /// The version that it is of.
    pub version: String,
    /// Who wrote it.
    pub author: Author,
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text, without control characters.
    pub message: String,
    /// `name=value` pairs, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
}

/// The histories of all plugins. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<BTreeMap<PluginName, Arc<History>>>>);

impl Logs {
    /// A plugin's history, made where there is none.
    pub fn of(&self, plugin: &PluginName) -> Arc<History> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(plugin) && all.len() >= PLUGINS {
            // One that nobody writes into any more; were there none, there are as many plugins as that.
            let idle = all.iter().find(|(_, history)| Arc::strong_count(history) == 1);
            if let Some(idle) = idle.map(|(name, _)| name.clone()) {
                all.remove(&idle);
            }
        }
        Arc::clone(all.entry(plugin.clone()).or_default())
    }

    /// A plugin's history, where it has one.
    pub fn find(&self, plugin: &PluginName) -> Option<Arc<History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }
}

/// The last lines of one plugin.
pub struct History {
    lines: Mutex<Lines>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

impl Default for History {
    fn default() -> Self {
        History { lines: Mutex::default(), written: watch::Sender::new(0) }
    }
}

impl History {
    /// Adds a line, whose number is set here; the oldest ones make room.
    pub fn add(&self, mut line: Line) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.last = lines.last.saturating_add(1);
        line.number = lines.last;
        lines.bytes = lines.bytes.saturating_add(size(&line));
        lines.lines.push_back(line);
        while lines.lines.len() > LINES || (lines.bytes > BYTES && lines.lines.len() > 1) {
            let Some(oldest) = lines.lines.pop_front() else { break };
            lines.bytes = lines.bytes.saturating_sub(size(&oldest));
        }
        self.written.send_replace(lines.last);
    }

    /// The lines with a number above this one that are still there, and how many are not any more.
    pub fn after(&self, number: u64) -> (Vec<Line>, u64) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<Line> = lines.lines.iter().filter(|line| line.number > number).cloned().collect();
        let first = found.first().map_or(lines.last.saturating_add(1), |line| line.number);
        (found, first.saturating_sub(number).saturating_sub(1))
    }

    /// The number of the last line, as it grows.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }
}

fn size(line: &Line) -> usize {
    line.message.len() + line.fields.as_ref().map_or(0, String::len) + line.version.len() + 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> Line {
        Line {
            number: 0,
            at: 1,
            version: "1.0.0".into(),
            author: Author::Plugin,
            level: "info",
            message: message.into(),
            fields: None,
        }
    }

    #[test]
    fn the_oldest_lines_make_room_and_a_slow_reader_learns_what_it_missed() {
        let history = History::default();
        for number in 1..=LINES + 5 {
            history.add(line(&number.to_string()));
        }
        let (lines, missed) = history.after(0);
        assert_eq!((lines.len(), missed), (LINES, 5));
        assert_eq!((lines[0].number, lines[0].message.as_str()), (6, "6"));
        assert_eq!(history.after(LINES as u64 + 3).0.len(), 2);
        assert_eq!(history.after(LINES as u64 + 5), (Vec::new(), 0));

        history.add(line(&"x".repeat(BYTES)));
        let (lines, missed) = history.after(6);
        assert_eq!((lines.len(), missed), (1, LINES as u64 - 1), "a long line counts by its bytes");
    }

    #[test]
    fn plugins_that_are_gone_make_room() {
        let logs = Logs::default();
        let name = |number: usize| format!("acme.p{number}").parse::<PluginName>().unwrap();
        let mounted = logs.of(&name(0));
        for number in 1..3 * PLUGINS {
            logs.of(&name(number)).add(line("hello"));
        }
        assert_eq!(logs.0.lock().unwrap().len(), PLUGINS);
        assert!(Arc::ptr_eq(&mounted, &logs.find(&name(0)).unwrap()));
    }
}
