//! `[download]`: how many bytes a metered link may carry, and how many it has.
//!
//! Counted by the day and the month of the clock on the wall (`[update] offset`). The count is for the owner's bill and
//! not for a court: it is stored ahead of what is fetched, a step at a time, so that a power cut makes it too high by
//! a step at most and never too low. While the clock is not set no day begins; a clock that is set back begins one.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::update::{LONGEST_PAUSE, Postponement, hours};
use crate::units::{format_size, parse_size};
use crate::window::Offset;

const DAY: i64 = 24 * 3600;

/// What fetched files may take of the link.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DownloadPolicy {
    /// The most bytes in a day, in a month, or both.
    #[serde(deserialize_with = "caps")]
    pub cap: Vec<Cap>,
    /// Whether the link is metered: with false the caps do not hold.
    pub metered: bool,
    /// Ranges of addresses that are not public and that names may lead to all the same: `10.20.0.0/16`.
    #[serde(deserialize_with = "ranges")]
    pub private: Vec<IpNet>,
}

impl Default for DownloadPolicy {
    fn default() -> Self {
        DownloadPolicy { cap: Vec::new(), metered: true, private: Vec::new() }
    }
}

/// The most bytes in a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    /// How many.
    pub bytes: u64,
    /// In which time.
    pub period: Period,
}

/// A time of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first to the last of a month.
    Month,
}

/// How many bytes came, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// Days since the first of January 1970.
    day: i64,
    of_day: u64,
    /// Months since January 1970.
    month: i64,
    of_month: u64,
}

impl Ledger {
    /// The same at this time; a day or a month that has begun since starts from nothing.
    #[must_use]
    pub fn at(self, now: u64, is_set: bool, offset: Offset) -> Ledger {
        if !is_set {
            return self;
        }
        let day = day(now, offset);
        let month = month(day);
        Ledger {
            day,
            of_day: if day == self.day { self.of_day } else { 0 },
            month,
            of_month: if month == self.month { self.of_month } else { 0 },
        }
    }

    /// The same with these bytes.
    #[must_use]
    pub fn with(self, bytes: u64) -> Ledger {
        Ledger {
            of_day: self.of_day.saturating_add(bytes),
            of_month: self.of_month.saturating_add(bytes),
            ..self
        }
    }

    fn used(&self, period: Period) -> u64 {
        match period {
            Period::Day => self.of_day,
            Period::Month => self.of_month,
        }
    }
}

impl DownloadPolicy {
    /// How many bytes may still come; `u64::MAX` where nothing is capped.
    pub fn room(&self, ledger: &Ledger) -> u64 {
        let room = self.holding().map(|cap| cap.bytes.saturating_sub(ledger.used(cap.period)));
        room.min().unwrap_or(u64::MAX)
    }

    /// Whether any cap holds.
    pub fn is_capped(&self) -> bool {
        self.holding().next().is_some()
    }

    /// Which cap is reached and when the next day or month begins; none where there is room.
    pub fn reached(&self, ledger: &Ledger, now: u64, is_set: bool, offset: Offset) -> Option<Postponement> {
        let full = self.holding().filter(|cap| ledger.used(cap.period) >= cap.bytes);
        let waits = full.map(|cap| (remaining(cap.period, now, offset), cap));
        let (seconds, cap) = waits.max_by_key(|(seconds, _)| *seconds)?;
        // A day that never begins, since the clock is not set, is looked for every hour.
        let seconds = if is_set { seconds } else { 3600 };
        let reason = format!("the download cap of {cap} is reached; it goes on in {}", hours(seconds));
        Some(Postponement { reason, retry_after: Duration::from_secs(seconds).min(LONGEST_PAUSE) })
    }

    fn holding(&self) -> impl Iterator<Item = &Cap> {
        self.cap.iter().filter(|_| self.metered)
    }
}

impl std::fmt::Display for Cap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let period = match self.period {
            Period::Day => "day",
            Period::Month => "month",
        };
        write!(formatter, "{}/{period}", format_size(self.bytes))
    }
}

fn day(now: u64, offset: Offset) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX / 2).saturating_add(offset.seconds()).div_euclid(DAY)
}

/// The month of a day, both counted from 1970; the calendar in one formula (Hinnant, `civil_from_days`).
fn month(day: i64) -> i64 {
    let shifted = day.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // March is the first month of such a year.
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year - 1970) * 12 + from_march + 2
}

/// How many seconds are left of the day or the month.
fn remaining(period: Period, now: u64, offset: Offset) -> u64 {
    let local = i64::try_from(now).unwrap_or(i64::MAX / 2).saturating_add(offset.seconds());
    let of_day = DAY - local.rem_euclid(DAY);
    let today = local.div_euclid(DAY);
    let days = match period {
        Period::Day => 0,
        Period::Month => (0..31).take_while(|days| month(today + days + 1) == month(today)).count(),
    };
    u64::try_from(of_day).unwrap_or_default() + 86_400 * days as u64
}

fn caps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cap>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a cap like `200MiB/day`, or a list of two")]
    enum Written {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Written::deserialize(deserializer)? {
        Written::One(text) => vec![text],
        Written::Several(texts) => texts,
    };
    let mut caps: Vec<Cap> = Vec::new();
    for text in texts {
        let cap = parse(&text).map_err(de::Error::custom)?;
        if caps.iter().any(|other| other.period == cap.period) {
            return Err(de::Error::custom(format!("`{text}` is a second cap for the same time")));
        }
        caps.push(cap);
    }
    Ok(caps)
}

fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    let range = |text: String| {
        let shape =
            |_| format!("`{text}` is no range of addresses: write it like `10.20.0.0/16` or `fd12::/16`");
        text.parse().map_err(shape).map_err(de::Error::custom)
    };
    texts.into_iter().map(range).collect()
}

fn parse(text: &str) -> Result<Cap, String> {
    let shape =
        || format!("`{text}` is not a cap: write a size and a time, like `200MiB/day` or `2GiB/month`");
    let (size, period) = text.split_once('/').ok_or_else(shape)?;
    let period = match period.trim() {
        "day" => Period::Day,
        "month" => Period::Month,
        _ => return Err(shape()),
    };
    let bytes = parse_size(size).map_err(|error| error.to_string())?;
    if bytes == 0 {
        return Err(format!("`{text}` lets nothing through; take the grants for that"));
    }
    Ok(Cap { bytes, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday the 23rd of November 2026, 00:00 UTC.
    const MONDAY: u64 = 1_795_392_000;
    const UTC: fn() -> Offset = Offset::default;

    fn policy(caps: &[&str]) -> DownloadPolicy {
        DownloadPolicy {
            cap: caps.iter().map(|text| parse(text).unwrap()).collect(),
            metered: true,
            ..DownloadPolicy::default()
        }
    }

    #[test]
    fn what_was_fetched_today_leaves_less_for_today() {
        let policy = policy(&["100B/day", "150B/month"]);
        let ledger = Ledger::default().at(MONDAY, true, UTC()).with(60);
        assert_eq!(policy.room(&ledger), 40);
        let full = ledger.with(40);
        let reached = policy.reached(&full, MONDAY + 20 * 3600, true, UTC()).unwrap();
        assert_eq!(reached.retry_after, LONGEST_PAUSE, "a cap that the owner raises is noticed");
        assert_eq!(reached.reason, "the download cap of 100B/day is reached; it goes on in 4 h 0 min");
        let tomorrow = full.at(MONDAY + 24 * 3600, true, UTC());
        assert_eq!(
            (policy.room(&tomorrow), policy.reached(&tomorrow, MONDAY + 24 * 3600, true, UTC())),
            (50, None)
        );
        let month = tomorrow.with(50);
        let reached = policy.reached(&month, MONDAY + 24 * 3600, true, UTC()).unwrap();
        assert!(reached.reason.ends_with("in 168 h 0 min"), "until December: {reached:?}");
        let soon = policy.reached(&full, MONDAY + 24 * 3600 - 90, true, UTC()).unwrap();
        assert_eq!(soon.retry_after, Duration::from_secs(90));
        assert_eq!(policy.room(&month.at(MONDAY + 8 * 24 * 3600, true, UTC())), 100);
    }

    #[test]
    fn without_a_clock_no_day_begins() {
        let policy = policy(&["100B/day"]);
        let full = Ledger::default().at(MONDAY, true, UTC()).with(100);
        let unset = full.at(5, false, UTC());
        assert_eq!(policy.reached(&unset, 5, false, UTC()).unwrap().retry_after, Duration::from_secs(3600));
        assert_eq!(policy.room(&full.at(MONDAY - 24 * 3600, true, UTC())), 100, "set back: another day");
    }

    #[test]
    fn a_link_that_is_not_metered_is_not_capped() {
        let policy = DownloadPolicy { metered: false, ..policy(&["1B/day"]) };
        let ledger = Ledger::default().with(1 << 40);
        assert_eq!((policy.room(&ledger), policy.is_capped()), (u64::MAX, false));
        assert_eq!(policy.reached(&ledger, MONDAY, true, UTC()), None);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (day, wanted) in
            [(0, 0), (30, 0), (31, 1), (58, 1), (59, 2), (364, 11), (365, 12), (20_780, 682), (-1, -1)]
        {
            assert_eq!(month(day), wanted, "{day}");
        }
        // The 29th of February 2028 and the 1st of March.
        assert_eq!((month(21_243), month(21_244)), (697, 698));
    }

    #[test]
    fn what_is_no_cap_is_told_with_one_that_is() {
        for text in ["", "200MiB", "200MiB/week", "200/day", "0/day", "MiB/day"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("200MiB/week").unwrap_err().contains("like `200MiB/day`"));
    }
}
