//! What can be asked, and by whom it is answered.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hotshoe_core::manifest::PluginName;
use serde_json::Value;

use super::answer::Refused;
use super::{Admin, install, jobs, logs, plugins};

/// As OpenMetrics has it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/metrics", get(metrics))
        .route("/plugins", get(plugins::list).post(install::install))
        .route("/plugins/{name}", get(plugins::show).delete(plugins::remove))
        .route("/plugins/{name}/grant", post(plugins::grant))
        .route("/plugins/{name}/rollback", post(plugins::rollback))
        .route("/plugins/{name}/logs", get(logs::lines))
        .fallback(nothing)
        .with_state(admin)
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.told.status().await)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], admin.told.metrics()).into_response()
}

async fn nothing(uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(100).collect();
    Refused::new(404, "unknownRequest", format!("there is nothing at {path}"))
}

/// A plugin's name out of a path.
pub(super) fn plugin_name(text: &str) -> Result<PluginName, Refused> {
    text.parse().map_err(|error: hotshoe_core::manifest::NameError| {
        Refused::new(400, "invalidName", error.to_string())
    })
}
