//! The plugins over the socket: listed, shown, granted more, rolled back, taken out.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{PluginDetail, PluginSummary};
use serde_json::{Value, json};

use super::Admin;
use super::answer::Refused;
use super::peer::Peer;
use super::routes::plugin_name;
use crate::swap::{InstallError, Installed};

pub(super) async fn list(State(admin): State<Admin>) -> Json<Vec<PluginSummary>> {
    Json(admin.orders.plugins.list())
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<PluginDetail>, Refused> {
    let name = plugin_name(&name)?;
    let detail = admin.orders.plugins.show(&name);
    detail.map(Json).ok_or_else(|| InstallError::Unknown(name).into())
}

pub(super) async fn grant(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    let name = plugin_name(&name)?;
    let plugins = admin.orders.plugins.clone();
    let by_name = name.clone();
    let granted = whole(async move { plugins.grant(&by_name).await }).await;
    told(peer, "grant", &name, &granted);
    Ok(Json(outcome(&granted?)))
}

pub(super) async fn rollback(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<PluginSummary>, Refused> {
    let name = plugin_name(&name)?;
    let plugins = admin.orders.plugins.clone();
    let by_name = name.clone();
    let rolled_back = whole(async move { plugins.rollback(&by_name).await }).await;
    told(peer, "rollback", &name, &rolled_back);
    Ok(Json(rolled_back?))
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    let name = plugin_name(&name)?;
    let plugins = admin.orders.plugins.clone();
    let by_name = name.clone();
    let removed = whole(async move { plugins.remove(&by_name).await }).await;
    told(peer, "remove", &name, &removed);
    removed?;
    // The version of the device's own image, where there is one.
    let left = admin.orders.plugins.list().into_iter().find(|plugin| plugin.name == name);
    Ok(Json(json!({ "plugin": left })))
}

/// What became of an order, as JSON: `outcome` is `live`, `held` or `unchanged`.
pub fn outcome(installed: &Installed) -> Value {
    match installed {
        Installed::Live(plugin) => json!({ "outcome": "live", "plugin": plugin }),
        Installed::Held(plugin, wants) => json!({ "outcome": "held", "wants": wants, "plugin": plugin }),
        Installed::Unchanged(plugin) => json!({ "outcome": "unchanged", "plugin": plugin }),
    }
}

/// Carries something out to its end, also where whoever asked for it goes away.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, InstallError>> + Send + 'static,
) -> Result<T, InstallError> {
    tokio::spawn(work).await.unwrap_or(Err(InstallError::Busy))
}

fn told<T>(peer: Peer, change: &'static str, plugin: &PluginName, result: &Result<T, InstallError>) {
    match result {
        Ok(_) => tracing::info!(%peer, change, %plugin, "changed over the admin socket"),
        Err(error) => tracing::warn!(%peer, change, %plugin, %error, "refused over the admin socket"),
    }
}
