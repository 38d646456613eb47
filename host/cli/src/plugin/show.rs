//! `hotshoe plugin list` and `show`.

use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{PluginDetail, PluginSummary};
use hotshoe_core::units::format_size;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin::Admin;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table};

pub(super) async fn list(output: &Output, admin: &Admin) -> Result<(), Failure> {
    let answer = admin.get("/plugins").await?;
    if output.json() {
        return output.document(&answer);
    }
    let plugins: Vec<PluginSummary> = read(answer)?;
    let mut table = Table::new(["PLUGIN", "VERSION", "STATE", "PREVIOUS", "ORIGIN", "TROUBLE"]);
    for plugin in &plugins {
        let version =
            |version: Option<&semver::Version>| version.map(ToString::to_string).unwrap_or_default();
        table.row([
            plugin.name.as_str(),
            &version(plugin.version.as_ref()),
            &state(plugin),
            &version(plugin.previous.as_ref()),
            &plugin.origin.as_ref().map(ToString::to_string).unwrap_or_default(),
            plugin.trouble.as_deref().unwrap_or_default(),
        ]);
    }
    output.table(&table)
}

pub(super) async fn one(output: &Output, admin: &Admin, name: &PluginName) -> Result<(), Failure> {
    let answer = admin.get(&format!("/plugins/{name}")).await?;
    if output.json() {
        return output.document(&answer);
    }
    let PluginDetail { summary, about, api, methods, reported, desired, grants, denials, quotas, bad } =
        read(answer)?;
    output.line(&output.strong(name.as_str()))?;
    let mut table = Table::plain(2);
    let mut tell = |what: &str, text: String| {
        if !text.is_empty() {
            table.row([what, &text]);
        }
    };
    tell("about", about);
    tell("version", summary.version.as_ref().map(ToString::to_string).unwrap_or_default());
    tell("state", state(&summary));
    tell("origin", summary.origin.as_ref().map(ToString::to_string).unwrap_or_default());
    tell("digest", summary.digest.as_ref().map(ToString::to_string).unwrap_or_default());
    tell("previous", summary.previous.as_ref().map(ToString::to_string).unwrap_or_default());
    if let Some(held) = &summary.held {
        tell("held", format!("{}, which asks for {}", held.version, held.wants.join(", ")));
    }
    let pinned: Vec<String> = summary.pinned.iter().map(ToString::to_string).collect();
    tell("jobs run on", pinned.join(", "));
    tell("floor", summary.floor.as_ref().map(ToString::to_string).unwrap_or_default());
    tell("trouble", summary.trouble.clone().unwrap_or_default());
    tell("contract", api);
    let methods: Vec<String> =
        methods.iter().map(|method| format!("{} ({} ms)", method.name, method.timeout_ms)).collect();
    tell("methods", methods.join(", "));
    tell("reports", reported.join(", "));
    tell("desired", desired.unwrap_or_default());
    tell("may", grants.join(", "));
    for denial in denials {
        tell("denied", denial);
    }
    for quota in quotas.iter().filter(|quota| quota.used > 0) {
        tell("a day", format!("{} of {} {}", size(quota.used), format_size(quota.quota), quota.what));
    }
    for bad in bad {
        tell("rolled back", format!("{} ({} times): {}", bad.version, bad.times, bad.why));
    }
    output.table(&table)
}

/// Bytes for people: rounded up to what is shown.
fn size(bytes: u64) -> String {
    let unit = if bytes < 1 << 20 { 1 << 10 } else { 1 << 20 };
    format_size(bytes.div_ceil(unit).saturating_mul(unit))
}

fn state(plugin: &PluginSummary) -> String {
    match &plugin.held {
        Some(held) => format!("{} ({} waits)", plugin.state, held.version),
        None => plugin.state.clone(),
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new(Exit::Software, format!("the device speaks of plugins in another way: {error}"))
            .hint("is hotshoed of the same version as this tool?")
    })
}
