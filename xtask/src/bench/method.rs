//! What a direct method costs: within the host, and through hub and MQTT.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Row;
use crate::{
    stand::{DEVICE, Options, Stand},
    tools::{capture, target},
};

pub(super) fn rows() -> Result<Vec<Row>> {
    Ok(vec![host_side()?, through_hub()?])
}

/// The plugin's `ping` against the host's own `hotshoe.ping`, both through the daemon's dispatch.
fn host_side() -> Result<Row> {
    let program = target().join("release/examples/method_latency");
    let figures = capture(Command::new(program).arg("--guests").arg(target().join("guests")))?;
    let figures: Value = serde_json::from_str(&figures).context("method_latency printed no JSON")?;
    let (native, plugin) = (number(&figures, "/native_us")?, number(&figures, "/plugin_us")?);
    Ok(Row {
        name: "method.plugin_over_native_us",
        value: plugin - native,
        unit: "µs",
        against: format!("built-in method {native:.1} µs, plugin {plugin:.1} µs, host side"),
        ratio: plugin / native,
    })
}

/// The same two through REST, local hub, MQTT and TLS.
fn through_hub() -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let mut stand = Stand::start(folder.path(), &Options { profile: "release", ..Options::default() })?;
    stand.start_device()?;
    stand.await_device()?;
    let p50 = |method: &str| -> Result<f64> {
        let figures =
            capture(stand.hotshoe().args(["--json", "method", "invoke", DEVICE, method, "--repeat", "500"]))?;
        number(&serde_json::from_str(&figures)?, "/p50Microseconds")
    };
    p50("ping")?;
    let (native, plugin) = (p50("hotshoe.ping")?, p50("ping")?);
    Ok(Row {
        name: "method.through_hub_p50_us",
        value: plugin,
        unit: "µs",
        against: format!("built-in method through the same hub, {native:.0} µs"),
        ratio: plugin / native,
    })
}

pub(super) fn number(value: &Value, pointer: &str) -> Result<f64> {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("no number at {pointer} in {value}"))
}
