//! What can be asked, and by whom it is answered.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hotshoe_core::manifest::PluginName;
use serde_json::Value;

use super::answer::Refused;
use super::peer::Peer;
use super::{Admin, install, jobs, logs, plugins};

/// As OpenMetrics has it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes(admin: Admin) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/methods/{name}", post(method))
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

async fn method(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    payload: Bytes,
) -> Result<Response, Refused> {
    let payload = hotshoe_core::method::parse_payload(&payload)
        .map_err(|refusal| Refused::new(400, "invalidPayload", refusal.to_string()))?;
    let answer = admin.told.method(&name, &payload).await;
    let answer = answer.ok_or_else(|| {
        Refused::new(404, "unknownMethod", format!("the host itself has no method {name:.100}"))
    })?;
    tracing::info!(%peer, method = name, status = answer.status, "called over the admin socket");
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    Ok((status.unwrap_or(StatusCode::OK), Json(answer.payload)).into_response())
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
