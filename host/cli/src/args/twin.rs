//! `hotshoe twin …`

use clap::{Args, Subcommand};

use super::device::Of;

/// What to do with twins.
#[derive(Subcommand, Debug)]
pub(crate) enum TwinCommand {
    /// Show a twin: tags, desired and reported properties
    #[command(after_help = "Examples:
  hotshoe twin show pump-7
  hotshoe twin show pump-7 --module filter
  hotshoe twin show pump-7 --json | jq .properties.reported.firmwareStatus")]
    Show(Of),
    /// Print what changes in a twin, until interrupted
    #[command(after_help = "Examples:
  hotshoe twin watch pump-7
  hotshoe twin watch pump-7 --until reported.firmwareStatus='\"completed\"'")]
    Watch(Watch),
    /// Set single desired properties and tags
    ///
    /// A value is JSON; what is not JSON is a text, so 30 is a number, true a truth and Redmond43 a text. null deletes.
    #[command(after_help = "Examples:
  hotshoe twin set pump-7 desired.interval=30
  hotshoe twin set pump-7 tags.location.plant=Redmond43 desired.old=null
  hotshoe twin set pump-7 desired.version='\"2.1\"' --if-match AAAAAAAAAAE=")]
    Set(Set),
    /// Merge into the desired properties or the tags; null deletes
    #[command(after_help = "Examples:
  hotshoe twin patch pump-7 --desired '{\"interval\": 30}'
  hotshoe twin patch pump-7 --tags '{\"location\": {\"plant\": \"Redmond43\"}, \"old\": null}'
  hotshoe twin patch pump-7 --desired @desired.json --if-match AAAAAAAAAAE=")]
    Patch(Patch),
    /// Put others in place of all desired properties or all tags; the part that is not given stays
    #[command(after_help = "Examples:
  hotshoe twin replace pump-7 --desired '{\"interval\": 30}'
  hotshoe twin replace pump-7 --tags '{}'")]
    Replace(Patch),
    /// Show the tags, or set some of them
    #[command(after_help = "Examples:
  hotshoe twin tags pump-7
  hotshoe twin tags pump-7 location.plant=Redmond43 floor=2 old=null")]
    Tags(Tags),
}

/// What to watch.
#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) of: Of,
    /// End when this property has this value (JSON), such as reported.firmwareStatus='"completed"'
    #[arg(long, value_name = "PATH=JSON")]
    pub(crate) until: Option<String>,
}

/// What to set.
#[derive(Args, Debug)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Paths that begin with desired. or tags., and their values
    #[arg(required = true, value_name = "PATH=VALUE")]
    pub(crate) values: Vec<String>,
    /// Only if the twin still has this etag
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
}

/// Which tags.
#[derive(Args, Debug)]
pub(crate) struct Tags {
    #[command(flatten)]
    pub(crate) of: Of,
    /// Paths below the tags, and their values; without any the tags are shown
    #[arg(value_name = "PATH=VALUE")]
    pub(crate) values: Vec<String>,
    /// Only if the twin still has this etag
    #[arg(long, value_name = "ETAG", requires = "values")]
    pub(crate) if_match: Option<String>,
}

/// What to merge, or to put in place.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("part").required(true).multiple(true).args(["desired", "tags"]))]
pub(crate) struct Patch {
    #[command(flatten)]
    pub(crate) of: Of,
    /// A JSON object for the desired properties; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) desired: Option<String>,
    /// A JSON object for the tags; @FILE reads a file, @- standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) tags: Option<String>,
    /// Only if the twin still has this etag
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
}
