//! `cargo xtask bench`: what the main job costs, beside a neighbour measured in the same run.
//!
//! Release build, medians. Absolute figures depend on the machine; read the ratios. The names of the rows stay stable, so
//! that runs can be compared over years.

mod install;
mod method;
mod process;
mod swap;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    guests,
    tools::{cargo, run, target},
};

/// What to measure, and where to write it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also write the rows as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only the rows whose name begins with this.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
}

/// One measured figure.
pub(crate) struct Row {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// What stands beside it, in words with its own figure.
    against: String,
    ratio: f64,
}

/// Measures and prints all rows.
pub(crate) fn run_bench(arguments: &Arguments) -> Result<()> {
    println!("bench: building in release");
    guests::build(None)?;
    // Apart from the rest: built together, hotshoed would get the compiler of hotshoe-aot linked in.
    run(cargo().args(["build", "--quiet", "--release", "--package", "hotshoe-aot"]))?;
    let packages = ["--package", "hotshoed", "--package", "hotshoe-localhub", "--package", "hotshoe"];
    run(cargo().args(["build", "--quiet", "--release", "--bins", "--examples"]).args(packages))?;

    let wanted = |prefix: &str| {
        arguments.only.as_deref().is_none_or(|only| prefix.starts_with(only) || only.starts_with(prefix))
    };
    let mut rows = Vec::new();
    if wanted("binary") {
        rows.push(binary()?);
    }
    if wanted("method") {
        rows.extend(method::rows()?);
    }
    if wanted("start") || wanted("idle") {
        rows.extend(process::rows()?);
    }
    if wanted("swap") {
        rows.extend(swap::rows()?);
    }
    if wanted("install") {
        rows.extend(install::rows()?);
    }
    if let Some(only) = &arguments.only {
        rows.retain(|row| row.name.starts_with(only.as_str()));
    }
    print(&rows);
    if let Some(file) = &arguments.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        fs::write(file, serde_json::to_string_pretty(&rows)?)
            .with_context(|| format!("could not write {}", file.display()))?;
    }
    Ok(())
}

impl Row {
    fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "unit": self.unit, "against": self.against, "ratio": self.ratio})
    }
}

fn binary() -> Result<Row> {
    let mib = |name: &str| -> Result<f64> {
        Ok(fs::metadata(target().join("release").join(name))?.len() as f64 / f64::from(1 << 20))
    };
    let (daemon, compiler) = (mib("hotshoed")?, mib("hotshoe-aot")?);
    Ok(Row {
        name: "binary.stripped_mib",
        value: daemon,
        unit: "MiB",
        against: format!("hotshoe-aot with the compiler, {compiler:.1} MiB"),
        ratio: daemon / compiler,
    })
}

fn print(rows: &[Row]) {
    println!("{:<32} {:>10} {:<5} {:>7}  against", "name", "value", "unit", "ratio");
    for row in rows {
        println!("{:<32} {:>10.2} {:<5} {:>7.2}  {}", row.name, row.value, row.unit, row.ratio, row.against);
    }
}

/// The middle one; the lower of two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
