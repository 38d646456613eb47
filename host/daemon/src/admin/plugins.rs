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
use crate::swap::{InstallError, Installed, Plugins};

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
    let grant = |plugins: Plugins, name| async move { plugins.grant(&name).await };
    Ok(Json(outcome(&change(&admin, peer, "grant", &name, grant).await?)))
}

pub(super) async fn rollback(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<PluginSummary>, Refused> {
    let rollback = |plugins: Plugins, name| async move { plugins.rollback(&name).await };
    Ok(Json(change(&admin, peer, "rollback", &name, rollback).await?))
}

pub(super) async fn remove(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    let remove = |plugins: Plugins, name| async move { plugins.remove(&name).await };
    change(&admin, peer, "remove", &name, remove).await?;
    // The version of the device's own image, where there is one.
    let left = admin.orders.plugins.list().into_iter().find(|plugin| plugin.name.as_str() == name);
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

/// Makes a change to its end, also where whoever asked for it goes away, and says in the log whose it was.
async fn change<T, Work>(
    admin: &Admin,
    peer: Peer,
    change: &'static str,
    name: &str,
    work: impl FnOnce(Plugins, PluginName) -> Work,
) -> Result<T, Refused>
where
    T: Send + 'static,
    Work: Future<Output = Result<T, InstallError>> + Send + 'static,
{
    let plugin = plugin_name(name)?;
    let work = work(admin.orders.plugins.clone(), plugin.clone());
    let result = tokio::spawn(work).await.unwrap_or(Err(InstallError::Busy));
    match &result {
        Ok(_) => tracing::info!(%peer, change, %plugin, "changed over the admin socket"),
        Err(error) => tracing::warn!(%peer, change, %plugin, %error, "refused over the admin socket"),
    }
    Ok(result?)
}
