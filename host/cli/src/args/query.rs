//! `hotshoe query …`

use clap::Args;

/// Ask the hub in its query language, and print all pages
///
/// A table shows the values that stand in one cell; --json and --jsonl have everything.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hotshoe query \"SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'\"
  hotshoe query \"SELECT deviceId, properties.reported.firmwareStatus FROM devices\" --limit 20
  hotshoe query \"SELECT properties.reported.firmwareStatus AS status, COUNT() AS devices FROM devices
      GROUP BY properties.reported.firmwareStatus\"
  hotshoe query 'SELECT * FROM devices' --jsonl | jq -r .deviceId")]
pub(crate) struct Query {
    /// The query
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) query: String,
    /// How many rows at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Print each row as JSON in a line of its own as it comes; nothing is kept in memory
    #[arg(long, conflicts_with = "json")]
    pub(crate) jsonl: bool,
    /// How many rows to ask for at a time, 1 to 1000
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) page: u16,
}
