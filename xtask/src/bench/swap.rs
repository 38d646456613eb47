//! What swapping plugins costs those who call, host side: `host/daemon/examples/swap_load.rs`.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Row, method::number};
use crate::tools::{capture, target};

pub(super) fn rows() -> Result<Vec<Row>> {
    let program = target().join("release/examples/swap_load");
    let told = capture(&mut Command::new(program))?;
    let told: Value = serde_json::from_str(&told).context("swap_load printed no JSON")?;
    let figure = |pointer: &str| number(&told, pointer);
    let ready = figure("/install_to_live_ms/compiled_before")?;
    let compiling = figure("/install_to_live_ms/not_compiled_before")?;
    let (quiet, busy) =
        (figure("/calls_per_second/without_swaps")?, figure("/calls_per_second/during_swaps")?);
    let (calm, longest) =
        (figure("/paced/wait_longest_ms/without_swaps")?, figure("/paced/wait_longest_ms/during_swaps")?);
    let (told_after, good_after) =
        (figure("/trap/answered_after_ms")?, figure("/trap/next_good_answer_after_ms")?);
    let lost = figure("/lost")? + figure("/answered_twice")? + figure("/answered_by_what_was_not_live")?;
    let lost = lost + figure("/paced/lost")?;
    let (swaps, pace) = (figure("/swaps")?, figure("/paced/calls_per_second")?);
    Ok(vec![
        Row {
            name: "swap.pointer_us",
            value: figure("/pointer_us")?,
            unit: "µs",
            against: format!("an install from bytes to live, {ready:.1} ms"),
            ratio: figure("/pointer_us")? / (ready * 1e3),
        },
        Row {
            name: "swap.install_to_live_ms",
            value: ready,
            unit: "ms",
            against: format!("the same without compiled code at hand, {compiling:.0} ms"),
            ratio: ready / compiling,
        },
        Row {
            name: "swap.calls_per_second",
            value: busy,
            unit: "1/s",
            against: format!(
                "without swaps {quiet:.0}; of the calls during {swaps:.0} swaps {lost:.0} went wrong"
            ),
            ratio: busy / quiet,
        },
        Row {
            name: "swap.longest_wait_ms",
            value: longest,
            unit: "ms",
            against: format!("without swaps {calm:.1} ms, both at {pace:.0} calls a second"),
            ratio: longest / calm,
        },
        Row {
            name: "swap.trap_to_good_answer_ms",
            value: good_after,
            unit: "ms",
            against: format!("the caller of the trap is told after {told_after:.1} ms, the roll-back done"),
            ratio: good_after / told_after,
        },
    ])
}
