//! `flash_per_day`, `download_per_day`: how many bytes a plugin may write into slots and download, and how many it has.
//!
//! Flash wears: an eMMC takes each of its bytes some 3,000 times, so a plugin that writes a slot again and again has worn
//! it out within days, and each single write of it is allowed. What is downloaded goes to a disk as well, or over a link
//! that costs. So there is as much at once as a day takes, which comes back evenly over a day. Nothing honest comes near
//! the bound that holds where the owner says nothing: 32 images of the largest slot, and a GiB where slots are small.
//!
//! The count is kept ahead of the bytes, a step at a time, as that of a metered link is ([`super::traffic`]): a power cut
//! makes it too high by a step at most and never too low. What runs ahead of the disk gives back with time what the disk
//! does: both are the same bytes.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::update::{LONGEST_PAUSE, Postponement, hours};
use crate::units::{format_size, parse_size};

/// How many images of the largest slot a day takes where the owner says nothing.
const IMAGES: u64 = 32;
/// What a day takes at least then.
const LEAST: u64 = 1 << 30;
/// In how many parts it is kept and comes back.
const PARTS: u64 = 256;
/// The largest and the smallest step in which it is kept.
const STEP: (u64, u64) = (64 << 10, 8 << 20);
const DAY: f64 = 24.0 * 3600.0;

/// The most bytes in a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota(u64);

/// What stands on the disk of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Bytes that count as used.
    pub used: u64,
    /// When, in seconds since the Unix epoch; none where the clock was not set.
    pub at: Option<u64>,
}

/// How much of a quota is used.
#[derive(Clone, PartialEq, Debug)]
pub struct Used {
    quota: Quota,
    /// Bytes, less what has come back; to fractions, since little time brings back little.
    used: f64,
    /// What the disk says it is, which is never less.
    kept: f64,
    /// Whether it was used up, and not yet an image's worth has come back since.
    is_reached: bool,
}

/// What becomes of bytes that are to be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Take {
    /// They are counted.
    Taken,
    /// So many have to be kept as used first; then [`Used::kept`], and again.
    Keep(u64),
    /// No more are there, and when there will be.
    Reached(Postponement),
}

impl Quota {
    /// The quota of a device whose largest slot has so many bytes and whose owner says nothing.
    pub fn of_slot(largest: u64) -> Quota {
        Quota(largest.saturating_mul(IMAGES).max(LEAST))
    }

    /// Bytes in a day.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// What comes back in this time.
    fn back(self, passed: Duration) -> f64 {
        float(self.0) * passed.as_secs_f64() / DAY
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match parse_size(&text).map_err(de::Error::custom)? {
            0 => Err(de::Error::custom(format!("`{text}` a day is nothing; leave out the grant instead"))),
            bytes => Ok(Quota(bytes)),
        }
    }
}

impl Used {
    /// What was kept, and nothing of it has come back since. A quota that has become smaller is used up twice at most.
    pub fn of(quota: Quota, kept: Kept) -> Used {
        let used = float(kept.used.min(quota.0.saturating_mul(2)));
        Used { quota, used, kept: used, is_reached: used >= float(quota.0) }
    }

    /// Gives back what this time brings.
    pub fn passed(&mut self, time: Duration) {
        let back = self.quota.back(time);
        self.used = (self.used - back).max(0.0);
        self.kept = (self.kept - back).max(0.0);
        self.is_reached &= self.over() > 0.0;
    }

    /// How much more is used than leaves room for an image.
    fn over(&self) -> f64 {
        let quota = float(self.quota.0);
        self.used - (quota - quota / float(IMAGES))
    }

    /// Uses so many bytes if any are there. Pieces are small: one that goes over the bound is let through.
    pub fn take(&mut self, bytes: u64, what: &str) -> Take {
        if let Some(postponement) = self.reached(what) {
            return Take::Reached(postponement);
        }
        let used = self.used + float(bytes);
        if used > self.kept && bytes > 0 {
            let (least, most) = STEP;
            let step = (self.quota.0 / PARTS).clamp(least, most);
            // More than the bytes themselves: some of what is kept comes back while the disk keeps it.
            return Take::Keep(self.used().saturating_add(step.max(bytes.saturating_mul(2))));
        }
        self.used = used;
        self.is_reached = used >= float(self.quota.0);
        Take::Taken
    }

    /// So much stands on the disk.
    pub fn kept(&mut self, bytes: u64) {
        self.kept = float(bytes);
    }

    /// Whether it is used up, and when there is room for an image again: 45 minutes bring back as much.
    pub fn reached(&self, what: &str) -> Option<Postponement> {
        if !self.is_reached {
            return None;
        }
        let wait = self.over() * DAY / float(self.quota.0);
        let again = Duration::from_secs_f64(wait.ceil().clamp(1.0, 1e9));
        let size = format_size(self.quota.0);
        let reason = format!(
            "the plugin has {what} as much as its quota of {size} a day; it may again in {}",
            hours(again.as_secs())
        );
        Some(Postponement { reason, retry_after: again.min(LONGEST_PAUSE) })
    }

    /// Bytes that are used, rounded up.
    pub fn used(&self) -> u64 {
        whole(self.used)
    }

    /// The quota.
    pub fn quota(&self) -> Quota {
        self.quota
    }
}

#[allow(clippy::cast_precision_loss)] // Nothing here is counted to the byte.
fn float(bytes: u64) -> f64 {
    bytes as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Never below nothing; `as` ends at the largest.
fn whole(bytes: f64) -> u64 {
    bytes.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Takes it, and keeps what has to be kept; whether it was there.
    fn takes(used: &mut Used, bytes: u64) -> bool {
        loop {
            match used.take(bytes, "written") {
                Take::Taken => return true,
                Take::Keep(kept) => used.kept(kept),
                Take::Reached(_) => return false,
            }
        }
    }

    #[test]
    fn pieces_as_large_as_a_step_are_taken_however_long_keeping_them_takes() {
        let mut used = Used::of(Quota(3 * MIB), Kept::default());
        for _ in 0..2 {
            let Take::Keep(kept) = used.take(MIB, "written") else { panic!("there is nothing on the disk") };
            used.kept(kept);
            used.passed(Duration::from_secs(60));
            assert_eq!(used.take(MIB, "written"), Take::Taken);
            used.passed(Duration::from_secs(24 * 3600));
        }
    }

    #[test]
    fn a_day_takes_32_images_and_they_come_back_over_a_day() {
        let quota = Quota::of_slot(256 * MIB);
        assert_eq!(quota.bytes(), 32 * 256 * MIB);
        assert_eq!(Quota::of_slot(4096).bytes(), 1 << 30, "small slots are written as often as one likes");
        let mut used = Used::of(quota, Kept::default());
        for image in 0..32 {
            for _ in 0..256 {
                assert!(takes(&mut used, MIB), "image {image}");
            }
        }
        let Take::Reached(Postponement { reason, retry_after }) = used.take(MIB, "written into slots") else {
            panic!("the 33rd is let through")
        };
        assert_eq!(retry_after, Duration::from_secs(45 * 60));
        assert_eq!(
            reason,
            "the plugin has written into slots as much as its quota of 8GiB a day; it may again in 45 min"
        );
        used.passed(retry_after);
        for _ in 0..256 {
            assert!(takes(&mut used, MIB));
        }
        assert!(!takes(&mut used, MIB), "one image came back and no more");
        used.passed(Duration::from_secs(24 * 3600));
        assert_eq!(used.used(), 0);
    }

    #[test]
    fn what_is_kept_runs_ahead_of_what_is_used_by_a_step_at_most() {
        let quota = Quota(64 * MIB);
        let mut used = Used::of(quota, Kept::default());
        let (mut disk, mut writes) = (0, 0);
        for _ in 0..640 {
            loop {
                match used.take(MIB / 10, "written") {
                    Take::Taken => break,
                    Take::Keep(bytes) => {
                        (disk, writes) = (bytes, writes + 1);
                        used.kept(bytes);
                    }
                    Take::Reached(_) => panic!("{} of {} are used", used.used(), quota.bytes()),
                }
            }
            assert!(disk >= used.used() && disk <= used.used() + MIB / 4, "{disk} of {}", used.used());
        }
        assert!(writes <= 330, "{writes} writes");
        let again = Used::of(quota, Kept { used: disk, at: None });
        assert!(again.used() >= used.used(), "a restart gives nothing back");
    }

    #[test]
    fn little_time_brings_back_little_and_not_nothing() {
        let mut used = Used::of(Quota(64 * MIB), Kept { used: 64 * MIB, at: None });
        for _ in 0..86_400 {
            used.passed(Duration::from_millis(1));
        }
        assert_eq!(used.used(), 64 * MIB - 64 * MIB / 1000);
    }

    #[test]
    fn a_quota_that_became_smaller_is_used_up_twice_and_no_more() {
        let mut used = Used::of(Quota(MIB), Kept { used: 1 << 40, at: None });
        assert!(used.reached("written").unwrap().reason.ends_with("again in 24 h 45 min"));
        used.passed(Duration::from_secs(24 * 3600));
        assert!(used.reached("written").unwrap().reason.ends_with("again in 45 min"), "what it says is so");
        used.passed(Duration::from_secs(45 * 60));
        assert_eq!(used.reached("written"), None);
    }

    #[test]
    fn a_piece_larger_than_the_quota_is_let_through_once_and_paid_for() {
        let mut used = Used::of(Quota(1000), Kept::default());
        assert!(takes(&mut used, 5000));
        let wait = used.reached("written").unwrap().retry_after;
        assert!(wait > Duration::from_secs(4 * 24 * 3600 - 1).min(LONGEST_PAUSE - Duration::from_secs(1)));
        assert_eq!(used.take(0, "written"), Take::Reached(used.reached("written").unwrap()));
    }
}
