//! Answers and bodies: compact JSON, its content type always set, failures in IoT Hub's forms.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::fault::Fault;

const ERROR_CODE: HeaderName = HeaderName::from_static("iothub-errorcode");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A JSON answer with status 200. The text is sent as it stands.
pub(crate) fn answer(text: String) -> Response {
    with_status(StatusCode::OK, text)
}

/// The same with the entity tag as a header, quoted.
pub(super) fn answer_with_tag(text: String, tag: &str) -> Response {
    let mut response = answer(text);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// 204 without a body.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A failure.
pub(super) fn fault(fault: &Fault) -> Response {
    if let Fault::Unauthorized(reason) = fault {
        tracing::info!(reason, "a request was refused");
    }
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_status(status, fault.rest_body().to_string());
    response.headers_mut().insert(ERROR_CODE, HeaderValue::from_static(fault.name()));
    response
}

fn with_status(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        fault(&self)
    }
}

/// A request's body, read as JSON whatever its content type says.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| Fault::Format(format!("the body could not be read: {error}")))?;
        if bytes.starts_with(BYTE_ORDER_MARK) {
            let text = "the body begins with a byte order mark; JSON is UTF-8 without one";
            return Err(Fault::Format(text.into()));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Fault::Format(format!("the body is not the JSON that this endpoint reads: {error}"))
        })
    }
}

/// The entity tag of `If-Match`, with or without quotes; `None` when absent or `*`.
pub(super) fn if_match(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(IF_MATCH)?.to_str().ok()?.trim();
    let tag = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    (tag != "*").then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_come_quoted_and_bare() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(text));
            if_match(&headers)
        };
        assert_eq!(read("\"AAAAAAAAAAE=\"").as_deref(), Some("AAAAAAAAAAE="));
        assert_eq!(read("AAAAAAAAAAE=").as_deref(), Some("AAAAAAAAAAE="));
        assert_eq!(read("\"*\""), None);
        assert_eq!(read("*"), None);
        assert_eq!(if_match(&HeaderMap::new()), None);
    }
}
