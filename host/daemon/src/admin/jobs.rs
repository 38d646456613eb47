//! The jobs over the socket: listed, cancelled.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use hotshoe_core::job::{JobIdError, JobSummary};
use serde_json::Value;

use super::Admin;
use super::answer::Refused;
use super::peer::Peer;
use crate::job::{CancelError, JobId};

pub(super) async fn list(State(admin): State<Admin>) -> Json<Value> {
    Json(admin.told.jobs())
}

/// Cancels a job, and says in the log who asked for it.
pub(super) async fn cancel(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<Json<JobSummary>, Refused> {
    let id: JobId =
        id.parse().map_err(|error: JobIdError| Refused::new(400, "invalidName", error.to_string()))?;
    match admin.jobs.cancel(&id).await {
        Ok(summary) => {
            tracing::info!(%peer, job = %id, "cancelled over the admin socket");
            Ok(Json(summary))
        }
        Err(error) => {
            tracing::warn!(%peer, job = %id, %error, "a cancel was refused over the admin socket");
            Err(error.into())
        }
    }
}

impl From<CancelError> for Refused {
    fn from(error: CancelError) -> Refused {
        Refused::new(u16::try_from(error.status()).unwrap_or(500), error.code(), error.to_string())
    }
}
