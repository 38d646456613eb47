//! Why a job runs now, and when a waiting one is due.
//!
//! Whether the device was restarted is told by the kernel's boot id alone: it differs after each boot, and no
//! clock is asked.
//!
//! What is promised about pauses: within one life of the process a pause is measured by the monotonic clock, so
//! setting the wall clock changes nothing. Over a restart only the wall clock is left. A job is then due when
//! the stored moment has come, and *at most one whole pause after the start* however far the clock was set
//! back; where it was set forward the job runs early. A job never waits for ever, and a plugin must not take
//! `due` as a proof that the time is over.

use serde::{Deserialize, Serialize};

/// What the first run after a restart finds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The slot that runs now; empty on a device without slots.
    pub slot: String,
    /// Whether it is the slot that the job wanted: the trial it armed, or any when it armed none.
    pub expected: bool,
}

/// Why the job runs now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wake {
    /// For the first time.
    Started,
    /// The pause that it asked for, or of a transient failure, is over.
    Due,
    /// The restart that it asked for has happened.
    Restarted(Boot),
    /// The last run was cut short: a power cut, a crash, an unasked restart, a swap, a trap, a time-out.
    Interrupted,
}

/// How many milliseconds are left of a pause after the process was started again.
///
/// `until` is the stored moment and `now` the wall clock, both in milliseconds since the Unix epoch; `pause` is
/// the whole pause and the upper bound of the answer.
pub fn remaining(until: u64, pause: u64, now: u64) -> u64 {
    until.saturating_sub(now).min(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_clock_never_makes_a_job_wait_longer_than_its_pause() {
        let noon = 1_800_000_000_000;
        assert_eq!(remaining(noon + 5_000, 5_000, noon), 5_000);
        assert_eq!(remaining(noon + 5_000, 5_000, noon + 2_000), 3_000);
        assert_eq!(remaining(noon + 5_000, 5_000, noon + 9_000), 0, "due while the device was off");
        assert_eq!(remaining(noon + 5_000, 5_000, 0), 5_000, "the clock is not set after the boot");
    }
}
