//! `hotshoe rollout …`, `hotshoe firmware rollout` and `hotshoe plugin rollout`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hotshoe_core::{digest::Digest, manifest::PluginName};
use semver::Version;

use super::{Image, Patience, seconds};
use crate::rollout::{Name, Percent};

/// What to do with rollouts that there are.
#[derive(Subcommand, Debug)]
pub(crate) enum RolloutCommand {
    /// List the rollouts of the hub
    #[command(after_help = "Example:\n  hotshoe rollout list")]
    List,
    /// Show a rollout: its plan, its waves, and with --json every device
    #[command(after_help = "Examples:
  hotshoe rollout show spring
  hotshoe rollout show spring --json | jq -r '.devices[] | select(.outcome == \"failed\") | .device'")]
    Show {
        /// The rollout's name
        name: Name,
    },
    /// Let the wave under way end, and begin no other
    #[command(after_help = "Example:\n  hotshoe rollout pause spring")]
    Pause {
        /// The rollout's name
        name: Name,
    },
    /// Go on with a rollout where it is, and follow it
    ///
    /// After a pause, after the tool was closed or killed, from another machine. Where it paused because a wave proved
    /// nothing, this goes on all the same.
    #[command(
        after_help = "Example:\n  hotshoe rollout resume spring\n\nExit codes: as `hotshoe firmware rollout --help` says."
    )]
    Resume {
        /// The rollout's name
        name: Name,
        #[command(flatten)]
        follow: Follow,
    },
    /// End a rollout for good: no other wave begins, and no other device is called
    ///
    /// Devices that were called already carry out what they were told.
    #[command(after_help = "Example:\n  hotshoe rollout abort spring --reason 'the image has a bug'")]
    Abort {
        /// The rollout's name
        name: Name,
        /// Why, for those who look later
        #[arg(long, value_name = "TEXT", default_value = "an operator wanted it so")]
        reason: String,
    },
    /// Forget a rollout that has ended: its plan at the hub and the devices' tags
    ///
    /// The command that began it begins it anew then, and calls every device again.
    #[command(after_help = "Example:\n  hotshoe rollout delete spring")]
    Delete {
        /// The rollout's name
        name: Name,
    },
}

/// For whom, and how fast.
#[derive(Args, Debug)]
pub(crate) struct Pace {
    /// For which devices: what stands after WHERE in a query, or a whole SELECT … FROM devices without TOP; * for all
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    pub(crate) query: String,
    /// The rollout's name; made of the plan where nothing is said, so the same command is the same rollout
    #[arg(long)]
    pub(crate) name: Option<Name>,
    /// Up to which part of the devices each wave goes. Rounded up; each wave has one device at least
    #[arg(long, value_name = "PERCENT,…", default_value = "1%,10%,100%")]
    pub(crate) waves: String,
    /// Abort when more than this part of a wave's devices failed: failed, rolled back, refused or not at an end in time
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub(crate) abort_over: Percent,
    /// How long a wave must have been over before the next one begins
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub(crate) soak: u64,
    /// How long a device may take from its call to its end
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = seconds)]
    pub(crate) timeout: u64,
    /// Devices that were not reached have failed as well; else they only are not updated
    #[arg(long)]
    pub(crate) count_unreachable: bool,
    /// Only say which waves there would be
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) follow: Follow,
}

/// How to follow a rollout.
#[derive(Args, Debug)]
pub(crate) struct Follow {
    /// How long to wait between two looks at the fleet; Azure's smallest tier allows 20 queries a minute
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = interval)]
    pub(crate) interval: u64,
    /// Where to write the report, rollout-NAME.json and rollout-NAME.md
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) report: PathBuf,
}

/// Which image, for whom.
#[derive(Args, Debug)]
pub(crate) struct FirmwareRollout {
    /// Where the devices fetch the image: an https URL
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) uri: String,
    #[command(flatten)]
    pub(crate) image: Image,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Which plugin, for whom.
#[derive(Args, Debug)]
pub(crate) struct PluginRollout {
    /// The plugin and the version that is to be live
    #[arg(value_name = "NAME@VERSION", value_parser = versioned)]
    pub(crate) plugin: (PluginName, Version),
    /// The repository to take it from, as the devices name it
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// What the file must hash to
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<Digest>,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

fn versioned(text: &str) -> Result<(PluginName, Version), String> {
    let (name, version) = text.split_once('@').ok_or("it is NAME@VERSION")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, version.parse().map_err(|error| format!("the version: {error}"))?))
}

fn interval(text: &str) -> Result<u64, String> {
    seconds(text)
        .and_then(|time| if (1..=3600).contains(&time) { Ok(time) } else { Err("1s to 60m".to_owned()) })
}

/// What stands after WHERE, out of that alone or out of a whole query.
fn condition(text: &str) -> Result<String, String> {
    let text = text.trim();
    let words: Vec<&str> = text.split_whitespace().collect();
    let is = |number: usize, word: &str| words.get(number).is_some_and(|one| one.eq_ignore_ascii_case(word));
    if text.is_empty() {
        return Err("a condition, or * for all devices".to_owned());
    }
    if !is(0, "select") {
        return Ok(text.to_owned());
    }
    let from = words.iter().position(|word| word.eq_ignore_ascii_case("from")).unwrap_or(words.len());
    let shown = words.get(1..from).unwrap_or_default();
    // Only the condition is kept of the query: whatever else makes its rows fewer would be for all devices then.
    if is(1, "top") || is(1, "distinct") || shown.iter().any(|word| word.contains('(')) {
        return Err(format!(
            "a rollout is for all devices of a condition, so {:?} has no meaning for it: choose devices with tags or with \
             deviceId IN […], and a part of them with --waves",
            shown.join(" ")
        ));
    }
    match (is(from + 1, "devices"), words.len() - from.min(words.len()), is(from + 2, "where")) {
        (true, 2, _) => Ok("*".to_owned()),
        (true, 4.., true) => {
            // The text as it was written: blanks inside of quotes count.
            let mut rest = text;
            for word in words.iter().take(from + 3) {
                rest = rest.trim_start().get(word.len()..).unwrap_or_default();
            }
            Ok(rest.trim().to_owned())
        }
        _ => Err("the query is SELECT … FROM devices WHERE …, or only what stands after WHERE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_condition_or_has_one() {
        for (text, read) in [
            ("*", "*"),
            ("tags.a = 'b  c'", "tags.a = 'b  c'"),
            ("SELECT * FROM devices", "*"),
            ("select deviceId  from Devices where tags.a = 'b  c' AND x > 1", "tags.a = 'b  c' AND x > 1"),
            ("SELECT deviceId, tags.top AS top FROM devices WHERE is_defined(tags.a)", "is_defined(tags.a)"),
        ] {
            assert_eq!(condition(text).as_deref(), Ok(read), "{text}");
        }
        for text in [
            "",
            "SELECT * FROM devices.jobs",
            "SELECT *",
            "SELECT * FROM devices WHERE",
            "SELECT * FROM devices GROUP BY x",
            "SELECT TOP 10 * FROM devices",
            "select top 10 deviceId from devices where tags.a = 1",
            "SELECT TOP(10) * FROM devices",
            "SELECT DISTINCT tags.a FROM devices",
            "SELECT COUNT() AS all FROM devices",
        ] {
            assert!(condition(text).is_err(), "{text}");
        }
    }
}
