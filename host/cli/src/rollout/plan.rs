//! What a rollout is to do: for whom, what, in which waves, and what stops it.
//!
//! A plan does not change once it stands at the hub. It is written there as JSON, so everything in it is text, numbers
//! and truth.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// What each device is to do.
    pub(crate) what: What,
    /// For which devices: what stands after WHERE in a query, or `*`.
    pub(crate) condition: String,
    /// Up to which part of the devices each wave goes.
    pub(crate) waves: Vec<Percent>,
    /// The part of a wave's devices that may fail.
    pub(crate) abort_over: Percent,
    /// How long a wave must have been over before the next one begins, in seconds.
    pub(crate) soak: u64,
    /// How long a device may take from its call to its end, in seconds.
    pub(crate) timeout: u64,
    /// Whether a device that was not reached has failed.
    pub(crate) count_unreachable: bool,
}

/// What each device is to do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum What {
    /// Answer `firmwareUpdate` and carry it out.
    Firmware {
        /// The method's payload.
        payload: Value,
        /// How long a device may take to answer, in seconds.
        response_timeout: u64,
        /// How long to wait for a device that is not connected, in seconds.
        connect_timeout: u64,
    },
    /// Put the plugin in that its desired properties name.
    Plugin {
        /// The plugin as twins name it: `acme/pump`.
        key: String,
        /// Its entry: `version`, `repository`, `digest`.
        entry: Value,
    },
}

impl Plan {
    /// The name of a rollout that was given none: the same for the same plan.
    pub(crate) fn name(&self) -> String {
        let hash = Sha256::digest(json!(self).to_string());
        let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        match self.what {
            What::Firmware { .. } => format!("firmware-{hash}"),
            What::Plugin { .. } => format!("plugin-{hash}"),
        }
    }

    /// What differs from another plan, in the words of the command line.
    pub(crate) fn differences(&self, other: &Plan) -> Vec<&'static str> {
        [
            ("what is rolled out", self.what == other.what),
            ("--query", self.condition == other.condition),
            ("--waves", self.waves == other.waves),
            ("--abort-over", self.abort_over == other.abort_over),
            ("--soak", self.soak == other.soak),
            ("--timeout", self.timeout == other.timeout),
            ("--count-unreachable", self.count_unreachable == other.count_unreachable),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }

    /// How many devices belong to each wave, of so many in all.
    ///
    /// A part is rounded up to whole devices, and every wave has one device at least as long as there are any left; so
    /// 1 % of 30 devices is one, and of two devices 1 %, 10 % and 100 % make two waves.
    pub(crate) fn sizes(&self, devices: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut before = 0;
        for percent in &self.waves {
            let upto = percent.of(devices).max(before + 1).min(devices);
            if upto > before {
                sizes.push(upto - before);
                before = upto;
            }
        }
        sizes
    }
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Firmware { payload, .. } => {
                let uri = payload.get("fwPackageUri").and_then(Value::as_str).unwrap_or_default();
                write!(formatter, "firmware {uri}")
            }
            What::Plugin { key, entry } => {
                let version = entry.get("version").and_then(Value::as_str).unwrap_or_default();
                write!(formatter, "plugin {}@{version}", key.replace('/', "."))
            }
        }
    }
}

/// A part of a whole, in thousandths of a percent: more than 0 % and at most 100 %; 0 % only as a limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Percent(u32);

impl Percent {
    const WHOLE: usize = 100_000;

    /// So much of so many, rounded up.
    fn of(self, devices: usize) -> usize {
        (devices * self.0 as usize).div_ceil(Self::WHOLE)
    }

    /// Whether so many of so many are more than this part.
    pub(crate) fn is_exceeded(self, some: usize, all: usize) -> bool {
        some * Self::WHOLE > all * self.0 as usize
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a part such as 10% or 0.5%");
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 3 || fraction.len() > 3 {
            return Err(wrong());
        }
        let thousandths: u32 = format!("{whole}{fraction:0<3}").parse().map_err(|_| wrong())?;
        if thousandths as usize > Self::WHOLE {
            Err(format!("{text:?} is more than all"))
        } else {
            Ok(Percent(thousandths))
        }
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> String {
        percent.to_string()
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:03}", self.0 % 1000);
        match fraction.trim_end_matches('0') {
            "" => write!(formatter, "{}%", self.0 / 1000),
            fraction => write!(formatter, "{}.{fraction}%", self.0 / 1000),
        }
    }
}

/// Reads `1%,10%,100%`: each more than the one before.
pub(crate) fn waves(text: &str) -> Result<Vec<Percent>, String> {
    let waves = text.split(',').map(str::parse).collect::<Result<Vec<Percent>, String>>()?;
    let mut before = Percent(0);
    for wave in &waves {
        if *wave <= before {
            return Err(format!(
                "{wave} does not go beyond {before}: each wave names the part reached with it"
            ));
        }
        before = *wave;
    }
    Ok(waves)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn plan(waves_: &str) -> Plan {
        Plan {
            what: What::Plugin { key: "acme/pump".into(), entry: json!({"version": "1.2.0"}) },
            condition: "*".into(),
            waves: waves(waves_).unwrap(),
            abort_over: "5%".parse().unwrap(),
            soak: 600,
            timeout: 3600,
            count_unreachable: false,
        }
    }

    #[test]
    fn parts_are_rounded_up_and_every_wave_has_a_device() {
        for (waves, devices, sizes) in [
            ("1%,10%,100%", 1000, &[10, 90, 900][..]),
            ("1%,10%,100%", 1001, &[11, 90, 900]),
            ("1%,10%,100%", 30, &[1, 2, 27]),
            ("1%,10%,100%", 3, &[1, 1, 1]),
            ("1%,10%,100%", 2, &[1, 1]),
            ("1%,10%,100%", 1, &[1]),
            ("1%,10%,100%", 0, &[]),
            ("0.1%,100%", 100, &[1, 99]),
            ("10%", 100, &[10]),
            ("50%,50.001%", 10_000, &[5000, 1]),
        ] {
            assert_eq!(plan(waves).sizes(devices), sizes, "{waves} of {devices}");
        }
    }

    #[test]
    fn a_limit_is_exceeded_by_more_than_it() {
        let limit: Percent = "5%".parse().unwrap();
        assert!(!limit.is_exceeded(5, 100) && limit.is_exceeded(6, 100));
        assert!(!limit.is_exceeded(0, 10) && limit.is_exceeded(1, 10), "of ten none may fail");
        assert!("0%".parse::<Percent>().unwrap().is_exceeded(1, 10_000));
    }

    #[test]
    fn parts_are_read_and_shown() {
        for (text, shown) in
            [("1%", "1%"), ("0.5%", "0.5%"), ("100%", "100%"), ("12.345 %", "12.345%"), ("2.50%", "2.5%")]
        {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), shown);
        }
        for text in ["", "%", "5", "-1%", "101%", "100.001%", "1.2345%", "1e1%", "1.%", ".5%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        for text in ["10%,5%", "0%,10%", "10%,10%", "10%,", ""] {
            assert!(waves(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plan_is_read_again_and_named_by_what_it_says() {
        let one = plan("1%,100%");
        let again: Plan = serde_json::from_str(&json!(one).to_string()).unwrap();
        assert_eq!((&again, again.name()), (&one, one.name()));
        let other = Plan { soak: 1, ..plan("1%,100%") };
        assert_ne!(other.name(), one.name());
        assert_eq!(other.differences(&one), ["--soak"]);
        assert_eq!(one.what.to_string(), "plugin acme.pump@1.2.0");
    }
}
