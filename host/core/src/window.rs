//! Maintenance windows: when the device's owner lets an update interrupt it.
//!
//! Written as a list of days and times of the clock on the wall: `Mon-Fri 01:00-05:00`, `Sat,Sun 22:00-06:00`,
//! `daily 03:00-04:00`. One that ends before it begins, or when it does, goes on into the next day, and belongs to the
//! day on which it began. The times are those of a fixed offset from UTC: a table of zones would be one more thing to
//! keep up to date on a device that is hard to update, and an update that comes an hour later in winter harms nobody.
//!
//! Pure: the time comes in as a value, in seconds since the Unix epoch. What a clock that was never set means is
//! decided by who asks.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// The most windows of one device.
pub const WINDOWS_LIMIT: usize = 64;

/// Why a text is not a window or an offset.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WindowError {
    /// It is not days and times.
    #[error("`{0}` is not a window: write days and times, like `Mon-Fri 01:00-05:00` or `daily 22:00-06:00`")]
    Shape(String),
    /// There is no such day.
    #[error("`{day}` in the window `{window}` is no day: write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily")]
    Day {
        /// The window.
        window: String,
        /// What should be a day.
        day: String,
    },
    /// There is no such time.
    #[error("`{time}` in the window `{window}` is no time: write 00:00 to 23:59, or 24:00 as an end")]
    Time {
        /// The window.
        window: String,
        /// What should be a time.
        time: String,
    },
    /// It is not an offset.
    #[error("`{0}` is not an offset from UTC: write `UTC` or `+02:00`, at most 14 hours")]
    Offset(String),
}

/// Days and times at which an update may interrupt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    text: String,
    /// Which days it begins on, Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    begins: i64,
    /// How many minutes it is open.
    lasts: i64,
}

/// What the windows' times are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offset {
    minutes: i64,
}

/// When it opens next: the answer of [`wait`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// One is open.
    Open,
    /// In so many seconds.
    Seconds(u64),
}

/// How long until one of these windows is open, at this time. Without any window it is always open.
pub fn wait(windows: &[Window], offset: Offset, now: u64) -> Wait {
    if windows.is_empty() {
        return Wait::Open;
    }
    let local = i64::try_from(now).unwrap_or(i64::MAX / 2).saturating_add(offset.minutes * MINUTE);
    // The first of January 1970 was a Thursday.
    let second = local.saturating_add(3 * DAY * MINUTE).rem_euclid(WEEK * MINUTE);
    let waits = windows.iter().flat_map(|window| window.waits(second));
    match waits.min() {
        Some(0) | None => Wait::Open,
        Some(seconds) => Wait::Seconds(u64::try_from(seconds).unwrap_or_default()),
    }
}

impl Window {
    /// Reads a window.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn parse(text: &str) -> Result<Window, WindowError> {
        let shape = || WindowError::Shape(text.to_owned());
        let (days, times) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(shape)?;
        let (begins, ends) = times.split_once('-').ok_or_else(shape)?;
        let (begins, ends) = (time(text, begins, false)?, time(text, ends, true)?);
        let lasts = if ends > begins { ends - begins } else { ends + DAY - begins };
        Ok(Window { text: text.trim().to_owned(), days: self::days(text, days)?, begins, lasts })
    }

    /// For each day on which it begins: how many seconds from this second of the week until it is open; 0 while it is.
    fn waits(&self, second: i64) -> impl Iterator<Item = i64> + '_ {
        let days = self.days.iter().zip(0_i64..).filter(|(on, _)| **on);
        days.map(move |(_, day)| {
            let begins = (day * DAY + self.begins) * MINUTE;
            let since = (second - begins).rem_euclid(WEEK * MINUTE);
            if since < self.lasts * MINUTE { 0 } else { WEEK * MINUTE - since }
        })
    }
}

fn days(window: &str, text: &str) -> Result<[bool; 7], WindowError> {
    let mut days = [false; 7];
    if text.trim().eq_ignore_ascii_case("daily") {
        return Ok([true; 7]);
    }
    let number = |day: &str| {
        let day = day.trim();
        let found = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day));
        found.ok_or_else(|| WindowError::Day { window: window.to_owned(), day: day.to_owned() })
    };
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // `Sat-Mon` goes over the end of the week.
        let count = (last + 7 - first) % 7 + 1;
        for day in (0..count).map(|step| (first + step) % 7) {
            if let Some(day) = days.get_mut(day) {
                *day = true;
            }
        }
    }
    Ok(days)
}

/// Minutes since midnight.
fn time(window: &str, text: &str, end: bool) -> Result<i64, WindowError> {
    let minutes = clock(text.trim()).filter(|minutes| *minutes < DAY || (end && *minutes == DAY));
    minutes.ok_or_else(|| WindowError::Time { window: window.to_owned(), time: text.trim().to_owned() })
}

/// `01:30` in minutes, up to 24:00.
fn clock(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

impl Offset {
    /// Reads `UTC`, `Z`, `+02:00` or `-05:30`.
    ///
    /// # Errors
    /// [`WindowError::Offset`].
    pub fn parse(text: &str) -> Result<Offset, WindowError> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("utc") || trimmed.eq_ignore_ascii_case("z") {
            return Ok(Offset::default());
        }
        let sign = match trimmed.get(..1) {
            Some("+") => 1,
            Some("-") => -1,
            _ => return Err(WindowError::Offset(text.to_owned())),
        };
        let minutes = trimmed.get(1..).and_then(clock).filter(|minutes| *minutes <= 14 * 60);
        let minutes = minutes.ok_or_else(|| WindowError::Offset(text.to_owned()))?;
        Ok(Offset { minutes: sign * minutes })
    }

    /// How many seconds the clock on the wall is ahead of UTC.
    pub fn seconds(self) -> i64 {
        self.minutes * MINUTE
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Window::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Offset::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday the 23rd of November 2026, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000;
    const HOUR: u64 = 3600;

    fn at(windows: &[&str], offset: &str, now: u64) -> Wait {
        let windows: Vec<Window> = windows.iter().map(|text| Window::parse(text).unwrap()).collect();
        wait(&windows, Offset::parse(offset).unwrap(), now)
    }

    #[test]
    fn days_and_times_open_and_close() {
        let windows = ["Mon-Fri 01:00-05:00", "Sat,Sun 22:00-06:00"];
        let day = |day: u64, hours: u64, minutes: u64| MONDAY + (day * 24 + hours) * HOUR + minutes * 60;
        for (now, wanted) in [
            (day(1, 0, 59), Wait::Seconds(60)),
            (day(0, 1, 0), Wait::Open),
            (day(0, 4, 59), Wait::Open),
            (day(0, 5, 0), Wait::Open), // Sunday's goes on until 06:00
            (day(1, 5, 0), Wait::Seconds(20 * HOUR)),
            (day(4, 6, 0), Wait::Seconds(40 * HOUR)),
            (day(5, 3, 0), Wait::Seconds(19 * HOUR)),
            (day(5, 22, 0), Wait::Open),
            (day(6, 5, 59), Wait::Open),
            (day(6, 6, 0), Wait::Seconds(16 * HOUR)),
        ] {
            assert_eq!(at(&windows, "UTC", now), wanted, "{now}");
        }
        assert_eq!(at(&[], "UTC", 0), Wait::Open, "no window is no limit");
    }

    #[test]
    fn the_clock_on_the_wall_counts() {
        // 23:30 UTC on Sunday is 01:30 on Monday two hours east of it.
        let now = MONDAY - HOUR / 2;
        assert_eq!(at(&["Mon 01:00-02:00"], "+02:00", now), Wait::Open);
        assert_eq!(at(&["Mon 01:00-02:00"], "UTC", now), Wait::Seconds(HOUR * 3 / 2));
        assert_eq!(at(&["Sun 18:00-18:30"], "-05:30", now), Wait::Open);
    }

    #[test]
    fn over_the_end_of_the_week_and_of_the_day() {
        assert_eq!(at(&["Sat-Mon 00:00-24:00"], "UTC", MONDAY + 23 * HOUR), Wait::Open);
        assert_eq!(at(&["Sat-Mon 00:00-24:00"], "UTC", MONDAY + 24 * HOUR), Wait::Seconds(4 * 24 * HOUR));
        assert_eq!(at(&["daily 03:00-03:00"], "UTC", MONDAY + 17), Wait::Open, "the whole day round");
        assert_eq!(at(&["Sun 23:00-01:00"], "UTC", MONDAY + HOUR - 1), Wait::Open);
    }

    #[test]
    fn every_wait_ends_in_an_open_window() {
        let windows = ["Tue,Thu 02:30-03:15", "sun 23:10-00:40"];
        for step in 0..(7 * 24 * 6) {
            let now = MONDAY + step * 600 + 7;
            if let Wait::Seconds(seconds) = at(&windows, "+05:45", now) {
                assert!(seconds > 0 && seconds < 7 * 24 * HOUR);
                assert_eq!(at(&windows, "+05:45", now + seconds), Wait::Open);
                assert_ne!(at(&windows, "+05:45", now + seconds - 1), Wait::Open);
            }
        }
    }

    #[test]
    fn what_is_no_window_is_told_with_one_that_is() {
        for (text, said) in [
            ("", "is not a window"),
            ("Mon", "is not a window"),
            ("Mon 01:00", "is not a window"),
            ("Montag 01:00-02:00", "`Montag`"),
            ("Mon-Fry 01:00-02:00", "`Fry`"),
            ("Mon 1:00-02:00", "`1:00`"),
            ("Mon 24:00-02:00", "`24:00`"),
            ("Mon 01:60-02:00", "`01:60`"),
            ("Mon 01:00-25:00", "`25:00`"),
        ] {
            let error = Window::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        for text in ["", "02:00", "+2", "+15:00", "+02:60", "Europe/Berlin"] {
            assert!(Offset::parse(text).unwrap_err().to_string().contains("+02:00"), "{text}");
        }
    }

    #[test]
    fn any_text_and_any_time_is_safe() {
        for text in ["é 01:00-02:00", "Mon é", "- -", ",-, :-:", "Mon-,Tue 00:00-00:00"] {
            let _ = Window::parse(text);
        }
        let _ = at(&["daily 00:00-00:01"], "-14:00", u64::MAX);
        let _ = at(&["daily 00:00-00:01"], "-14:00", 0);
    }
}
