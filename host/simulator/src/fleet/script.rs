//! What happens to whom: outcomes by shares, and how long phases take. Pure, and the same for the same seed and device.
//!
//! A device's fate hangs on the seed and its name alone, so that a rollout in waves meets the same failures as one at
//! once, and a second run the same as the first.

use std::{fmt, str::FromStr, time::Duration};

use hotshoe_core::units;

use crate::random::Random;

/// How an update ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The new version runs.
    Completed,
    /// It is told to have failed.
    Failed,
    /// The version before runs again.
    RolledBack,
    /// The device is never heard of again.
    Silent,
    /// The order is refused.
    Refused,
    /// The device never connects.
    Offline,
}

impl Outcome {
    /// All of them, with their names.
    pub const ALL: [(Outcome, &'static str); 6] = [
        (Outcome::Completed, "completed"),
        (Outcome::Failed, "failed"),
        (Outcome::RolledBack, "rolled-back"),
        (Outcome::Silent, "silent"),
        (Outcome::Refused, "refused"),
        (Outcome::Offline, "offline"),
    ];
}

/// The parts of the whole that a share is counted in: hundredths of a percent.
const WHOLE: u64 = 10_000;

/// Outcomes and their shares; what is left over is completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mix(Vec<(Outcome, u64)>);

impl Mix {
    /// What becomes of this device.
    pub fn outcome(&self, seed: u64, device: &str) -> Outcome {
        let mut at = Random::of(&format!("{seed}/outcome/{device}")).below(WHOLE);
        for (outcome, share) in &self.0 {
            match at.checked_sub(*share) {
                None => return *outcome,
                Some(rest) => at = rest,
            }
        }
        Outcome::Completed
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let mut shares: Vec<(Outcome, u64)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, share) =
                part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=PERCENT"))?;
            let found = Outcome::ALL.into_iter().find(|(_, known)| *known == name.trim());
            let names = || Outcome::ALL.map(|(_, name)| name).join(", ");
            let (outcome, _) =
                found.ok_or_else(|| format!("{name:?} is no outcome: there are {}", names()))?;
            if shares.iter().any(|(other, _)| *other == outcome) {
                return Err(format!("{name} stands there twice"));
            }
            shares.push((outcome, percent(share)?));
        }
        let sum: u64 = shares.iter().map(|(_, share)| share).sum();
        if sum > WHOLE {
            return Err(format!("the shares come to {} %, over 100 %", sum as f64 / 100.0));
        }
        // Completed is what is left over; its own share need not add up.
        shares.retain(|(outcome, _)| *outcome != Outcome::Completed);
        Ok(Mix(shares))
    }
}

/// Hundredths of a percent.
fn percent(text: &str) -> Result<u64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=100.0).contains(number));
    let number = number.ok_or_else(|| format!("{text:?} is no share between 0% and 100%"))?;
    Ok((number * 100.0).round() as u64)
}

/// How long a phase takes, and how far that differs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PhaseTime {
    middle: Duration,
    spread: f64,
}

impl PhaseTime {
    /// The length of one phase.
    pub fn draw(&self, random: &mut Random) -> Duration {
        let place = random.below(1 << 20) as f64 / f64::from(1 << 19) - 1.0;
        self.middle.mul_f64((1.0 + place * self.spread).max(0.0))
    }
}

impl FromStr for PhaseTime {
    type Err = String;

    fn from_str(text: &str) -> Result<PhaseTime, String> {
        let (middle, spread) = text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, "0%"));
        let middle = units::parse_duration(middle.trim()).map_err(|error| error.to_string())?;
        Ok(PhaseTime { middle, spread: percent(spread)? as f64 / WHOLE as f64 })
    }
}

impl fmt::Display for PhaseTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}±{}%", units::format_duration(self.middle), self.spread * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(text: &str) -> Mix {
        text.parse().unwrap()
    }

    #[test]
    fn a_device_has_the_same_fate_each_time_and_the_fleet_its_shares() {
        let mix = mix("completed=94%,failed=3%,rolled-back=2%,silent=1%");
        let names: Vec<String> = (0..20_000).map(|number| format!("sim-{number:04}")).collect();
        let of = |seed: u64| names.iter().map(|name| mix.outcome(seed, name)).collect::<Vec<_>>();
        let fates = of(7);
        assert_eq!(fates, of(7));
        assert_ne!(fates, of(8));
        for (outcome, share) in [
            (Outcome::Completed, 94.0),
            (Outcome::Failed, 3.0),
            (Outcome::RolledBack, 2.0),
            (Outcome::Silent, 1.0),
        ] {
            let found = fates.iter().filter(|fate| **fate == outcome).count() as f64 / 200.0;
            assert!((found - share).abs() < 0.5, "{outcome:?}: {found} % in place of {share} %");
        }
    }

    #[test]
    fn shares_are_checked() {
        assert_eq!(mix("").outcome(1, "any"), Outcome::Completed);
        assert_eq!(mix("offline=100%").outcome(1, "any"), Outcome::Offline);
        for wrong in [
            "failed",
            "failed=x",
            "exploded=1%",
            "failed=60%,silent=60%",
            "failed=1%,failed=1%",
            "failed=-1%",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn phases_stay_within_their_spread() {
        let time: PhaseTime = "2s±50%".parse().unwrap();
        let mut random = Random::new(3);
        let drawn: Vec<Duration> = (0..1000).map(|_| time.draw(&mut random)).collect();
        assert!(drawn.iter().all(|time| (1.0..=3.0).contains(&time.as_secs_f64())));
        assert!(
            drawn.iter().any(|time| time.as_secs_f64() < 1.2)
                && drawn.iter().any(|time| time.as_secs_f64() > 2.8)
        );
        assert_eq!("3s".parse::<PhaseTime>().unwrap().draw(&mut random), Duration::from_secs(3));
        assert!("fast".parse::<PhaseTime>().is_err());
    }
}
