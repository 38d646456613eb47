//! A rule in words: `kind:parameter=value,…`, as on the command line and in `POST /localhub/faults`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hotshoe_core::units::{format_duration, parse_duration};

use super::What;
use super::toss::Odds;

/// What `--help` says about `--fault`.
pub const HELP: &str = "\
Faults (--fault KIND[:PARAMETER=VALUE,…], any number of them):
  drop          messages are lost                        [what=…]
  delay         messages come later                      by=TIME [what=…]
  duplicate     messages come twice                      [what=…]
  refuse-token  CONNECT with a good token gets code 5
  refuse-connect  CONNECT gets code 3
  lose-session  the kept session is forgotten at CONNECT
  reject-twin   reported properties are refused          [status=500|400|412|429|503]
  late-method   a method's answer reaches its caller late  by=TIME
  close-after   the connection ends with a packet        packets=N
  mute-after    … or stays open and silent               packets=N
  fail-rest     a REST request is refused                [status=503|500|401|400|412|429]
  delay-rest    a REST request is slow                   by=TIME
Parameters of all: probability=0…1 (1), device=PATTERN with * (every), seed=N (0), after=N (let the first N of each
device pass), times=N (at most N for each device). what= is methods, answers, desired, twin, messages or telemetry.
The same seed does the same to the same device in every run.

Examples:
  --fault drop:what=methods,probability=0.1,seed=7
  --fault refuse-token:device=dev-*,times=3
  --fault late-method:by=40s,device=dev-1
  --fault close-after:packets=20,probability=0.5
  curl -X POST https://localhost:8443/localhub/faults -H \"authorization: $TOKEN\" -d '{\"fault\":\"delay:by=2s\"}'";

/// Something that goes wrong on request.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub(super) kind: Kind,
    pub(super) odds: Odds,
    device: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Drop(Option<What>),
    Delay(Option<What>, Duration),
    Duplicate(Option<What>),
    RefuseToken,
    RefuseConnect,
    LoseSession,
    RejectTwin(u16),
    LateMethod(Duration),
    CloseAfter(u64),
    MuteAfter(u64),
    FailRest(u16),
    DelayRest(Duration),
}

/// Every kind and the parameters of its own.
const KINDS: [(&str, &[&str]); 12] = [
    ("drop", &["what"]),
    ("delay", &["by", "what"]),
    ("duplicate", &["what"]),
    ("refuse-token", &[]),
    ("refuse-connect", &[]),
    ("lose-session", &[]),
    ("reject-twin", &["status"]),
    ("late-method", &["by"]),
    ("close-after", &["packets"]),
    ("mute-after", &["packets"]),
    ("fail-rest", &["status"]),
    ("delay-rest", &["by"]),
];

impl Rule {
    /// True if the rule is about this device (`device`, or `device/module`).
    pub(super) fn names(&self, device: &str) -> bool {
        matches(&self.device, device)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let (name, own) = KINDS.iter().find(|(name, _)| *name == word).ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            format!("there is no fault {word:?}; there are {}", known.join(", "))
        })?;
        let mut given = Given::default();
        for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| format!("{pair:?} is not parameter=value"))?;
            given.take(own, key, value).map_err(|error| format!("{name}: {error}"))?;
        }
        let missing = |what: &str| format!("{name} needs {what}=…");
        let kind = match *name {
            "drop" => Kind::Drop(given.what),
            "delay" => Kind::Delay(given.what, given.by.ok_or_else(|| missing("by"))?),
            "duplicate" => Kind::Duplicate(given.what),
            "refuse-token" => Kind::RefuseToken,
            "refuse-connect" => Kind::RefuseConnect,
            "lose-session" => Kind::LoseSession,
            "reject-twin" => Kind::RejectTwin(given.status.unwrap_or(500)),
            "late-method" => Kind::LateMethod(given.by.ok_or_else(|| missing("by"))?),
            "close-after" => Kind::CloseAfter(given.packets.ok_or_else(|| missing("packets"))?),
            "mute-after" => Kind::MuteAfter(given.packets.ok_or_else(|| missing("packets"))?),
            "fail-rest" => Kind::FailRest(given.status.unwrap_or(503)),
            _ => Kind::DelayRest(given.by.ok_or_else(|| missing("by"))?),
        };
        Ok(Self { kind, odds: given.odds, device: given.device })
    }
}

struct Given {
    odds: Odds,
    device: String,
    what: Option<What>,
    by: Option<Duration>,
    status: Option<u16>,
    packets: Option<u64>,
}

impl Default for Given {
    fn default() -> Self {
        let odds = Odds { probability: 1.0, seed: 0, after: 0, times: u64::MAX };
        Self { odds, device: "*".into(), what: None, by: None, status: None, packets: None }
    }
}

impl Given {
    fn take(&mut self, own: &[&str], key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{key} is a whole number, not {value:?}"));
        match key {
            "probability" => {
                let read = value.parse().ok().filter(|odds| (0.0..=1.0).contains(odds));
                self.odds.probability =
                    read.ok_or_else(|| format!("probability is 0 to 1, not {value:?}"))?;
            }
            "seed" => self.odds.seed = number()?,
            "after" => self.odds.after = number()?,
            "times" => self.odds.times = number()?,
            "device" => self.device = value.to_owned(),
            _ if !own.contains(&key) => {
                return Err(format!(
                    "there is no parameter {key:?}; there are {}",
                    own.iter()
                        .copied()
                        .chain(["probability", "device", "seed", "after", "times"])
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
            }
            "by" => {
                let time = parse_duration(value).map_err(|error| format!("by: {error}"))?;
                if time > Duration::from_secs(3600) {
                    return Err("by is at most 1h".into());
                }
                self.by = Some(time);
            }
            "status" => {
                let known = ["400", "401", "412", "429", "500", "503"].contains(&value);
                let status = known.then(|| value.parse().ok()).flatten();
                let error = || format!("status is 400, 401, 412, 429, 500 or 503, not {value:?}");
                self.status = Some(status.ok_or_else(error)?);
            }
            "packets" => self.packets = Some(number()?),
            _ => self.what = Some(what(value)?),
        }
        Ok(())
    }
}

const WHATS: [(&str, What); 6] = [
    ("methods", What::Methods),
    ("answers", What::Answers),
    ("desired", What::Desired),
    ("twin", What::Twin),
    ("messages", What::Messages),
    ("telemetry", What::Telemetry),
];

fn what(text: &str) -> Result<What, String> {
    let found = WHATS.iter().find(|(name, _)| *name == text).map(|(_, what)| *what);
    found.ok_or_else(|| {
        format!("what is methods, answers, desired, twin, messages or telemetry, not {text:?}")
    })
}

/// The same text again, whole: what is not said is left out.
impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        let about = |what: &Option<What>, pairs: &mut Vec<(&str, String)>| {
            if let Some((name, _)) = WHATS.iter().find(|(_, other)| Some(*other) == *what) {
                pairs.push(("what", (*name).into()));
            }
        };
        let kind = match &self.kind {
            Kind::Drop(what) => {
                about(what, &mut pairs);
                "drop"
            }
            Kind::Delay(what, by) => {
                pairs.push(("by", format_duration(*by)));
                about(what, &mut pairs);
                "delay"
            }
            Kind::Duplicate(what) => {
                about(what, &mut pairs);
                "duplicate"
            }
            Kind::RefuseToken => "refuse-token",
            Kind::RefuseConnect => "refuse-connect",
            Kind::LoseSession => "lose-session",
            Kind::RejectTwin(status) => {
                pairs.push(("status", status.to_string()));
                "reject-twin"
            }
            Kind::LateMethod(by) => {
                pairs.push(("by", format_duration(*by)));
                "late-method"
            }
            Kind::CloseAfter(packets) => {
                pairs.push(("packets", packets.to_string()));
                "close-after"
            }
            Kind::MuteAfter(packets) => {
                pairs.push(("packets", packets.to_string()));
                "mute-after"
            }
            Kind::FailRest(status) => {
                pairs.push(("status", status.to_string()));
                "fail-rest"
            }
            Kind::DelayRest(by) => {
                pairs.push(("by", format_duration(*by)));
                "delay-rest"
            }
        };
        let Odds { probability, seed, after, times } = self.odds;
        let common = [
            ("probability", probability.to_string(), probability < 1.0),
            ("device", self.device.clone(), self.device != "*"),
            ("seed", seed.to_string(), seed != 0),
            ("after", after.to_string(), after != 0),
            ("times", times.to_string(), times != u64::MAX),
        ];
        pairs.extend(common.into_iter().filter(|(.., said)| *said).map(|(name, value, _)| (name, value)));
        formatter.write_str(kind)?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            write!(formatter, "{}{name}={value}", if index == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// `*` stands for any text; everything else for itself.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            "drop",
            "drop:what=methods,probability=0.25,device=dev-*,seed=7,after=1,times=3",
            "delay:by=1500ms,what=twin",
            "duplicate:what=telemetry",
            "refuse-token:times=3",
            "refuse-connect",
            "lose-session",
            "reject-twin:status=429",
            "late-method:by=40s",
            "close-after:packets=20",
            "mute-after:packets=2",
            "fail-rest:status=503",
            "delay-rest:by=2s",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for line in HELP.lines().filter_map(|line| line.trim().strip_prefix("--fault ")) {
            line.parse::<Rule>().unwrap();
        }
        for (name, _) in KINDS {
            assert!(HELP.contains(&format!("\n  {name} ")), "{name}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_do() {
        for (text, words) in [
            ("dorp", "there is no fault \"dorp\"; there are drop, delay"),
            ("drop:what=letters", "what is methods"),
            ("drop:by=2s", "there is no parameter \"by\"; there are what, probability"),
            ("delay", "delay needs by=…"),
            ("drop:probability=2", "probability is 0 to 1"),
            ("drop:seed", "is not parameter=value"),
            ("reject-twin:status=200", "status is 400"),
        ] {
            let error = text.parse::<Rule>().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, wanted) in [
            ("*", "d", true),
            ("dev-*", "dev-1", true),
            ("dev-*", "edge-dev-1", false),
            ("*/m", "d/m", true),
            ("a*b*c", "aXXbYc", true),
            ("a*b*c", "acb", false),
            ("d", "dd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
