//! The log: to stderr, for people on a terminal, one JSON object a line for everything else.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts the log. `filter` is as in `HOTSHOE_LOG`; what does not parse is said and `info` is taken.
///
/// To be called once, before anything is logged.
pub fn start(format: LogFormat, filter: Option<&str>) {
    let (wanted, wrong) = match filter.map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("info"), Some(error)),
        None => (EnvFilter::new("info"), None),
    };
    let terminal = std::io::stderr().is_terminal();
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(wanted).with_writer(std::io::stderr);
    let started = if pretty {
        builder.with_ansi(terminal).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "HOTSHOE_LOG is not a filter; logging at info");
    }
}
