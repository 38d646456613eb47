//! `hotshoe plugin`: the plugins of the device on which this runs, over its admin socket.

mod install;
mod logs;
mod show;

use reqwest::Method;
use serde_json::Value;

use crate::admin::Admin;
use crate::args::{Metrics, PluginCommand};
use crate::failure::Failure;
use crate::output::Output;

/// Carries out one command.
pub(crate) async fn run(output: &Output, command: &PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::Install(install) => install::run(output, install).await,
        PluginCommand::List(socket) => show::list(output, &Admin::new(&socket.socket)?).await,
        PluginCommand::Show(one) => show::one(output, &Admin::new(&one.socket.socket)?, &one.name).await,
        PluginCommand::Grant(one) => {
            let admin = Admin::new(&one.socket.socket)?;
            let outcome = admin.act(Method::POST, &format!("/plugins/{}/grant", one.name)).await?;
            install::told(output, &outcome)
        }
        PluginCommand::Rollback(one) => {
            let admin = Admin::new(&one.socket.socket)?;
            let plugin = admin.act(Method::POST, &format!("/plugins/{}/rollback", one.name)).await?;
            if output.json() {
                return output.document(&plugin);
            }
            output.line(&format!("{} {} is live again", one.name, version(&plugin)))
        }
        PluginCommand::Remove(one) => {
            let admin = Admin::new(&one.socket.socket)?;
            let left = admin.act(Method::DELETE, &format!("/plugins/{}", one.name)).await?;
            if output.json() {
                return output.document(&left);
            }
            match left.get("plugin").filter(|plugin| plugin.is_object()) {
                Some(plugin) => output.line(&format!(
                    "removed; {} {} of the device's own image is live",
                    one.name,
                    version(plugin)
                )),
                None => output.line(&format!("removed {}", one.name)),
            }
        }
        PluginCommand::Logs(logs) => logs::run(output, logs).await,
        // It asks the hub and not this device, so it was taken before this was called.
        PluginCommand::Rollout(_) => Ok(()),
    }
}

/// Prints the device's figures.
pub(crate) async fn metrics(output: &Output, metrics: &Metrics) -> Result<(), Failure> {
    let text = Admin::new(&metrics.socket.socket)?.text("/metrics").await?;
    output.line(text.trim_end())
}

fn version(plugin: &Value) -> &str {
    plugin.get("version").and_then(Value::as_str).unwrap_or("no version")
}
