//! Refusals as they stand on the wire: a code for programs, a sentence for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::order::OrderError;
use crate::swap::InstallError;

/// Why a request is not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refused {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refused {
        Refused { status, code, message: message.into() }
    }

    /// `{"error": {"code", "message"}}`
    pub(super) fn document(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message, "status": self.status } })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.document())).into_response()
    }
}

impl From<&OrderError> for Refused {
    fn from(error: &OrderError) -> Refused {
        Refused::new(u16::try_from(error.status()).unwrap_or(500), error.code(), error.to_string())
    }
}

impl From<InstallError> for Refused {
    fn from(error: InstallError) -> Refused {
        Refused::from(&OrderError::Install(error))
    }
}
