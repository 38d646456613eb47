//! `hotshoe twin …`

use clap::{Args, Subcommand};

use super::device_id;

/// What to do with twins.
#[derive(Subcommand, Debug)]
pub(crate) enum TwinCommand {
    /// Show a device's twin: tags, desired and reported properties
    #[command(after_help = "Examples:
  hotshoe twin show pump-7
  hotshoe twin show pump-7 --json | jq .properties.reported.firmwareStatus")]
    Show {
        /// The device's id
        #[arg(value_parser = device_id)]
        device: String,
    },
    /// Print what changes in a twin, until interrupted
    #[command(after_help = "Examples:
  hotshoe twin watch pump-7
  hotshoe twin watch pump-7 --until reported.firmwareStatus='\"completed\"'")]
    Watch(Watch),
    /// Merge into the desired properties or the tags; null deletes
    #[command(after_help = "Examples:
  hotshoe twin patch pump-7 --desired '{\"interval\": 30}'
  hotshoe twin patch pump-7 --tags '{\"location\": {\"plant\": \"Redmond43\"}, \"old\": null}'
  hotshoe twin patch pump-7 --desired @desired.json --if-match AAAAAAAAAAE=")]
    Patch(Patch),
}

/// What to watch.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// End when this property has this value (JSON), such as reported.firmwareStatus='"completed"'
    #[arg(long, value_name = "PATH=JSON")]
    pub(crate) until: Option<String>,
}

/// What to merge.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("part").required(true).multiple(true).args(["desired", "tags"]))]
pub(crate) struct Patch {
    /// The device's id
    #[arg(value_parser = device_id)]
    pub(crate) device: String,
    /// A JSON object to merge into the desired properties; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) desired: Option<String>,
    /// A JSON object to merge into the tags; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) tags: Option<String>,
    /// Only if the twin still has this etag
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
}
