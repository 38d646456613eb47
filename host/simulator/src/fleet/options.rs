//! What may be asked for on the command line.

use std::{path::PathBuf, time::Duration};

use firmware_update::dialect::Dialect;
use hotshoe_core::units;
use semver::Version;
use serde_json::{Map, Value, json};

use super::script::{Mix, PhaseTime};

const EXAMPLES: &str = "\
Examples:
  hotshoe-localhub serve --data /tmp/hub
  hotshoe-simulator fleet --hub /tmp/hub/owner.connection-string --ca /tmp/hub/ca.pem --devices 1000
  hotshoe-simulator fleet --hub \"$OWNER\" --devices 50 --names 'shop-{:03}' --tags ring=canary,site=x --remove
  hotshoe-simulator fleet --hub \"$OWNER\" --outcomes completed=94%,failed=3%,rolled-back=2%,silent=1% --seed 7

Outcomes of an update, whatever is not given is completed:
  completed     it runs afterwards
  failed        it is told to have failed, half of them while downloading and half while applying
  rolled-back   the trial does not stay up, and the version before runs again
  silent        it is taken, and the device is never heard of again
  refused       the order is refused at once
  offline       the device never connects at all";

/// Many devices in one process, each a real session, with scripted outcomes; to try rollouts on.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The connection string of a policy that may change the registry, or the file that holds it.
    #[arg(long, value_name = "STRING|FILE")]
    pub hub: String,
    /// Certificates that may vouch for the hub; those of the system otherwise.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How many devices.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub devices: u32,
    /// How updates end: shares in percent, the rest is `completed`.
    #[arg(long, default_value = "completed=100%", value_name = "NAME=PERCENT,…")]
    pub outcomes: Mix,
    /// How long each phase of an update takes, and how far devices differ in it.
    #[arg(long, default_value = "2s±50%", value_name = "TIME[±PERCENT]")]
    pub phase_time: PhaseTime,
    /// What the devices are called: `{}` stands for the number, `{:04}` for one of four digits.
    #[arg(long, default_value = "sim-{:04}", value_name = "PATTERN", value_parser = pattern)]
    pub names: Pattern,
    /// Tags of the twins, beside `simulated`.
    #[arg(long, default_value = "", value_name = "NAME=TEXT,…|JSON", value_parser = tags)]
    pub tags: Map<String, Value>,
    /// The seed of all fates.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The version of the firmware that the devices run first.
    #[arg(long, default_value = "1.0.0", value_name = "VERSION")]
    pub firmware: String,
    /// The plugins that the devices have first.
    #[arg(long, default_value = "hotshoe.firmware-update=0.1.0", value_name = "NAME=VERSION,…", value_parser = plugins)]
    pub plugins: Plugins,
    /// The words that updates are told in.
    #[arg(long, default_value = "python", value_name = "python,iothubDM,firmware", value_parser = dialects)]
    pub dialects: Dialects,
    /// New connections a second; S1 takes 100.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connect_rate: u32,
    /// Send a message of telemetry this often; none otherwise.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub telemetry: Option<Duration>,
    /// MQTT in WebSockets.
    #[arg(long)]
    pub websocket: bool,
    /// The port of the devices, where it is not the transport's own.
    #[arg(long)]
    pub port: Option<u16>,
    /// How long the devices' tokens last.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = units::parse_duration)]
    pub token_lifetime: Duration,
    /// Silence after which a device probes its connection.
    #[arg(long, default_value = "4m", value_name = "TIME", value_parser = units::parse_duration)]
    pub keep_alive: Duration,
    /// End after this long; at SIGTERM or SIGINT otherwise.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub run_for: Option<Duration>,
    /// Remove the devices from the hub at the end.
    #[arg(long)]
    pub remove: bool,
    /// Lines of JSON on standard output: `registered`, `connected` once all are, `progress`, `summary`.
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// The names of all devices, numbered from 1.
    pub fn device_names(&self) -> Vec<String> {
        (1..=self.devices).map(|number| self.names.name(number)).collect()
    }
}

/// A text with one place for a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    before: String,
    digits: usize,
    after: String,
}

impl Pattern {
    fn name(&self, number: u32) -> String {
        format!("{}{number:0digits$}{}", self.before, self.after, digits = self.digits)
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let wrong = || format!("{text:?} has no single place for the number, such as {{}} or {{:04}}");
    let (before, rest) = text.split_once('{').ok_or_else(wrong)?;
    let (place, after) = rest.split_once('}').ok_or_else(wrong)?;
    if after.contains(['{', '}']) {
        return Err(wrong());
    }
    let digits = match place.strip_prefix(':') {
        None if place.is_empty() => 0,
        Some(digits) => digits.parse().ok().filter(|digits| *digits <= 20).ok_or_else(wrong)?,
        None => return Err(wrong()),
    };
    Ok(Pattern { before: before.to_owned(), digits, after: after.to_owned() })
}

fn tags(text: &str) -> Result<Map<String, Value>, String> {
    let mut tags = Map::new();
    tags.insert("simulated".to_owned(), json!(true));
    if text.trim_start().starts_with('{') {
        let given: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        tags.extend(given);
        return Ok(tags);
    }
    for (name, value) in pairs(text)? {
        tags.insert(name.to_owned(), json!(value));
    }
    Ok(tags)
}

fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=…"))).collect()
}

/// Plugins with their versions, by their keys in the twin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plugins(pub Vec<(String, Version)>);

fn plugins(text: &str) -> Result<Plugins, String> {
    let read = |(name, version): (&str, &str)| {
        let name: hotshoe_core::manifest::PluginName =
            name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        let version = version.parse().map_err(|error| format!("{version:?}: {error}"))?;
        Ok((name.twin_key(), version))
    };
    pairs(text)?.into_iter().map(read).collect::<Result<_, String>>().map(Plugins)
}

/// The dialects to tell updates in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialects(pub Vec<Dialect>);

fn dialects(text: &str) -> Result<Dialects, String> {
    let read = |name: &str| match name.trim() {
        "python" => Ok(Dialect::Python),
        "iothubDM" => Ok(Dialect::IothubDm),
        "firmware" => Ok(Dialect::Firmware),
        other => Err(format!("{other:?} is no dialect: there are python, iothubDM and firmware")),
    };
    text.split(',').map(read).collect::<Result<_, String>>().map(Dialects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_number_where_the_pattern_says() {
        assert_eq!(pattern("sim-{:04}").unwrap().name(7), "sim-0007");
        assert_eq!(pattern("shop{}-till").unwrap().name(12), "shop12-till");
        for wrong in ["sim", "sim-{", "sim-{:x}", "{}{}", "{04}", "{:99}"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_are_pairs_or_json() {
        assert_eq!(
            Value::from(tags("ring=a,site=x").unwrap()),
            json!({"simulated": true, "ring": "a", "site": "x"})
        );
        let nested = tags(r#"{"location":{"plant":"x"}}"#).unwrap();
        assert_eq!(Value::from(nested), json!({"simulated": true, "location": {"plant": "x"}}));
        assert!(tags("ring").is_err());
    }

    #[test]
    fn plugins_stand_under_their_keys_in_the_twin() {
        let read = plugins("acme.pump=1.2.0").unwrap();
        assert_eq!(read.0, [("acme/pump".to_owned(), Version::new(1, 2, 0))]);
        assert!(plugins("acme.pump=new").is_err());
        assert!(dialects("python,klingon").is_err());
    }
}
