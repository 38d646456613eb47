//! `hotshoe plugin install`: a file's bytes, or an order for a name; each phase is shown as the device reports it.

use std::path::Path;

use hotshoe_core::manifest::PluginName;
use indicatif::{ProgressBar, ProgressStyle};
use semver::Version;
use serde_json::{Value, json};

use super::version;
use crate::admin::Admin;
use crate::args::Install;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The largest file that a device takes, in bytes.
const LIMIT: u64 = 32 * 1024 * 1024;

pub(super) async fn run(output: &Output, install: &Install) -> Result<(), Failure> {
    let admin = Admin::new(&install.socket.socket)?;
    let bar = output.moving().then(ProgressBar::new_spinner);
    if let Some(bar) = &bar {
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar.set_message(format!("sending {}", install.what));
    }
    let phase = |name: &str| match &bar {
        Some(bar) => bar.set_message(words(name).to_owned()),
        None if output.json() => drop(output.json_line(&json!({ "phase": name }))),
        None => drop(output.line(&format!("  {}", words(name)))),
    };
    let outcome = if is_file(install) {
        let component = read(Path::new(&install.what))?;
        let path = match &install.digest {
            Some(digest) => format!("/plugins?digest={digest}"),
            None => "/plugins".to_owned(),
        };
        admin.install(&path, "application/wasm", component, phase).await
    } else {
        let order = order(install)?;
        admin.install("/plugins", "application/json", order.to_string(), phase).await
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    told(output, &outcome?)
}

/// Says what became of an install or a grant.
pub(super) fn told(output: &Output, outcome: &Value) -> Result<(), Failure> {
    if output.json() {
        return output.json_line(outcome);
    }
    let plugin = outcome.get("plugin").unwrap_or(&Value::Null);
    let name = plugin.get("name").and_then(Value::as_str).unwrap_or_default();
    match outcome.get("outcome").and_then(Value::as_str) {
        Some("held") => {
            let held = plugin.pointer("/held/version").and_then(Value::as_str).unwrap_or_default();
            let wants = outcome.get("wants").and_then(Value::as_array).into_iter().flatten();
            let wants: Vec<&str> = wants.filter_map(Value::as_str).collect();
            output.line(&format!("{name} {held} is held: it asks for {}", wants.join(", ")))?;
            output.line(&format!("`hotshoe plugin grant {name}` takes it live; {} goes on", version(plugin)))
        }
        Some("unchanged") => output.line(&format!("{name} {} is live already", version(plugin))),
        _ => output.line(&format!("{name} {} is live", version(plugin))),
    }
}

/// What is there as a file is one; what looks like a name and is not there is a name.
fn is_file(install: &Install) -> bool {
    let asked_of_a_repository = install.repository.is_some() || install.from.is_some();
    let path = Path::new(&install.what);
    !asked_of_a_repository
        && (path.is_file() || install.what.contains('/') || install.what.ends_with(".wasm"))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::NoInput, format!("could not read {}: {error}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > LIMIT {
        let text = format!("{} has {size} bytes; a device takes {LIMIT} at most", path.display());
        return Err(Failure::new(Exit::Data, text));
    }
    std::fs::read(path).map_err(failed)
}

fn order(install: &Install) -> Result<Value, Failure> {
    let (name, version) = match install.what.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (install.what.as_str(), None),
    };
    let name: PluginName = name.parse().map_err(|error| {
        Failure::new(Exit::Usage, format!("{error}")).hint("there is no file of this name either")
    })?;
    let version: Option<Version> = version
        .map(str::parse)
        .transpose()
        .map_err(|error| Failure::new(Exit::Usage, format!("the version after @ is none: {error}")))?;
    // The device opens it, and has another working directory.
    let directory =
        install.from.as_deref().map(std::path::absolute).transpose().map_err(|error| {
            Failure::new(Exit::NoInput, format!("the directory cannot be named: {error}"))
        })?;
    let mut order = json!({ "name": name });
    if let Some(members) = order.as_object_mut() {
        let mut add = |key: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| drop(members.insert(key.to_owned(), value)));
        };
        add("version", version.map(|version| json!(version)));
        add("repository", install.repository.as_ref().map(|name| json!(name)));
        add("digest", install.digest.as_ref().map(|digest| json!(digest)));
        add("directory", directory.map(|directory| json!(directory)));
    }
    Ok(order)
}

fn words(phase: &str) -> &str {
    match phase {
        "received" => "received",
        "trusted" => "trusted",
        "compiled" => "compiled",
        "linked" => "linked: its imports are granted, its claims are free",
        "adopting" => "offered the open jobs",
        "live" => "live",
        other => other,
    }
}
