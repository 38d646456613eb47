//! `[update]`: when an image may be armed, and who is asked before.

use std::time::Duration;

use serde::Deserialize;

use crate::manifest::PluginName;
use crate::units;
use crate::window::{self, Offset, Wait, Window};

/// How often in a row a check may put an image off before the update has failed.
pub const POSTPONEMENTS: u32 = 64;

/// The longest pause before the policy is asked again, whatever puts something off: an owner who changes it, and a clock
/// that is set, are noticed within this time.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How long to wait for a clock that is not set, before looking again.
const CLOCK_PAUSE: Duration = Duration::from_secs(60);

/// When an image may be armed. The default puts nothing off.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdatePolicy {
    /// When an update may interrupt the device; at any time where there is none.
    #[serde(deserialize_with = "windows")]
    pub windows: Vec<Window>,
    /// What the times of windows and the days of caps are counted from.
    pub offset: Offset,
    /// What a clock that is not set means for windows.
    pub clock: ClockPolicy,
    /// When files may be fetched.
    pub download: DownloadTime,
    /// The plugin that is asked before an image is armed.
    pub check: Option<Check>,
}

/// What a clock that is not set means.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockPolicy {
    /// No window is open until it is set.
    #[default]
    Set,
    /// Every window is open until it is set.
    Any,
}

/// When files may be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DownloadTime {
    /// At any time.
    #[default]
    Any,
    /// A fetch begins in a window only.
    Window,
}

/// A method of a plugin that is asked: 2xx is yes, anything else no.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The plugin.
    pub plugin: PluginName,
    /// One of the methods in its manifest.
    pub method: String,
    /// How soon it is asked again that said no for the first time; twice as long each further time, up to an hour.
    #[serde(default = "first_pause", with = "units::duration")]
    pub pause: Duration,
}

fn first_pause() -> Duration {
    Duration::from_secs(60)
}

impl Check {
    /// When to ask it again that has put an image off so many times in a row, 1 and up.
    pub fn pause(&self, times: u32) -> Duration {
        let pause = self.pause.max(Duration::from_secs(1));
        pause.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1).min(16))).min(LONGEST_PAUSE)
    }
}

/// Something is put off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Postponement {
    /// Why, for people.
    pub reason: String,
    /// When to ask again.
    pub retry_after: Duration,
}

impl UpdatePolicy {
    /// Whether no window is open at this time, in seconds since the Unix epoch; `is_set` is whether that can be believed.
    pub fn closed(&self, now: u64, is_set: bool) -> Option<Postponement> {
        if self.windows.is_empty() {
            return None;
        }
        if !is_set {
            return (self.clock == ClockPolicy::Set).then(|| Postponement {
                reason: "the device's clock is not set, and no maintenance window is open until it is"
                    .to_owned(),
                retry_after: CLOCK_PAUSE,
            });
        }
        let Wait::Seconds(seconds) = window::wait(&self.windows, self.offset, now) else { return None };
        let windows: Vec<String> = self.windows.iter().map(ToString::to_string).collect();
        let reason = format!(
            "no maintenance window is open ({}); the next opens in {}",
            windows.join("; "),
            hours(seconds)
        );
        Some(Postponement { reason, retry_after: Duration::from_secs(seconds).min(LONGEST_PAUSE) })
    }
}

/// A time for people: `3 h 20 min`, `5 min`, `40 s`.
pub(super) fn hours(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn windows<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Window>, D::Error> {
    let windows = Vec::<Window>::deserialize(deserializer)?;
    if windows.len() > window::WINDOWS_LIMIT {
        let text = format!("{} windows are the most, and there are {}", window::WINDOWS_LIMIT, windows.len());
        return Err(serde::de::Error::custom(text));
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nights() -> UpdatePolicy {
        UpdatePolicy { windows: vec![Window::parse("daily 01:00-05:00").unwrap()], ..UpdatePolicy::default() }
    }

    #[test]
    fn a_closed_window_says_when_it_opens() {
        let closed = nights().closed(1_795_392_000, true).unwrap();
        assert_eq!(closed.retry_after, Duration::from_secs(3600));
        assert_eq!(
            closed.reason,
            "no maintenance window is open (daily 01:00-05:00); the next opens in 1 h 0 min"
        );
        assert_eq!(nights().closed(1_795_392_000 + 3600, true), None);
    }

    #[test]
    fn a_clock_that_is_not_set_opens_nothing_unless_told_to() {
        assert!(nights().closed(7200, false).unwrap().reason.contains("clock is not set"));
        let any = UpdatePolicy { clock: ClockPolicy::Any, ..nights() };
        assert_eq!(any.closed(0, false), None);
        assert_eq!(UpdatePolicy::default().closed(0, false), None, "without windows no clock is asked");
    }

    #[test]
    fn a_check_is_asked_less_and_less_often() {
        let check = Check { plugin: "acme.b".parse().unwrap(), method: "m".into(), pause: first_pause() };
        let seconds: Vec<u64> = (1..=8).map(|times| check.pause(times).as_secs()).collect();
        assert_eq!(seconds, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(check.pause(u32::MAX), LONGEST_PAUSE);
        assert_eq!(Check { pause: Duration::ZERO, ..check }.pause(1), Duration::from_secs(1));
    }
}
