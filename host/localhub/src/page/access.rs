//! How a browser becomes an operator: a one-time link, exchanged for a token.
//!
//! The link is `https://HOST:PORT/#code=…`: what stands behind `#` is never sent to a server nor logged by one. Its code
//! has 128 random bits, works once and for [`GOOD_FOR`]. What the browser gets for it is an ordinary token of the policy
//! `iothubowner`, good for [`SESSION`], which it keeps in the tab and sends as the header `Authorization`. There is no
//! cookie, hence nothing that another site could make the browser send; and the hub remembers no session.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::Response;
use hotshoe_core::sas;
use rand::Rng as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::clock;
use crate::fault::Fault;
use crate::policies::Right;
use crate::rest::{Json, Service, answer};

/// How long a link works.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// How long a session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How many links may be out; a newer one takes the place of the oldest.
const MOST: usize = 16;

/// The links that are out.
#[derive(Default)]
pub(crate) struct Access(Mutex<VecDeque<(String, Instant)>>);

impl Access {
    /// A new link to the hub at `host` and `port`.
    pub(crate) fn link(&self, host: &str, port: u16) -> String {
        let code = format!("{:032x}", rand::rng().random::<u128>());
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= MOST {
            codes.pop_front();
        }
        codes.push_back((code.clone(), Instant::now() + GOOD_FOR));
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        format!("https://{host}{port}/#code={code}")
    }

    /// True once for each link that is out.
    fn redeem(&self, code: &str) -> bool {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > Instant::now());
        let found = codes.iter().position(|(known, _)| known == code);
        found.and_then(|index| codes.remove(index)).is_some()
    }
}

/// `POST /localhub/page/link`: `{"page", "expiresInSeconds"}`; the owner's alone.
pub(super) async fn link(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Fault> {
    service.authorize(&headers, Right::Owner, "/localhub/page")?;
    let page = service.access.link(&service.hub.host, service.https_port);
    Ok(private(json!({"page": page, "expiresInSeconds": GOOD_FOR.as_secs()}).to_string()))
}

#[derive(Deserialize)]
pub(super) struct Code {
    code: String,
}

/// `POST /localhub/page/session` with `{"code"}`: `{"token"}`, or 401.
pub(super) async fn session(
    State(service): State<Service>,
    Json(code): Json<Code>,
) -> Result<Response, Fault> {
    if !service.access.redeem(&code.code) {
        return Err(Fault::Unauthorized("the link's code was used, is too old, or was never given".into()));
    }
    let ends = clock::now_seconds() + SESSION.as_secs();
    let key = service.hub.policies.owner_key();
    let token = sas::token(&service.hub.host, key, Some("iothubowner"), ends)
        .map_err(|error| Fault::Internal(format!("a session's token could not be made: {error}")))?;
    Ok(private(json!({"token": token}).to_string()))
}

fn private(text: String) -> Response {
    let mut response = answer(text);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_old_ones_make_room() {
        let access = Access::default();
        let code = |link: &str| link.split_once("#code=").unwrap().1.to_owned();
        let first = access.link("localhost", 8443);
        assert!(first.starts_with("https://localhost:8443/#code="));
        assert!(!access.redeem("") && !access.redeem(&code(&first)[1..]));
        assert!(access.redeem(&code(&first)) && !access.redeem(&code(&first)));
        let oldest = access.link("localhost", 443);
        for _ in 0..MOST {
            access.link("localhost", 443);
        }
        assert!(!access.redeem(&code(&oldest)));
    }
}
