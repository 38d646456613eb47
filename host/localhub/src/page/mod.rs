//! The page: the hub as a person sees it, at `/` of the HTTPS port.
//!
//! Hand-written HTML, style sheets and modules, embedded in the program; nothing is built and nothing is fetched from
//! elsewhere. The files themselves are public and hold no secret; what they show they get from the same REST and the
//! same events as any tool, with the operator's token (see [`access`]). The content security policy lets nothing run
//! but these files, and lets no text become markup (trusted types); no other site can frame the page.

mod access;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use ring::digest::{SHA256, digest};

pub(crate) use self::access::Access;
use crate::fault::Fault;
use crate::rest::Service;

const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($kind:ident $name:literal)*) => {
        &[$(($name, $kind, include_bytes!(concat!("assets/", $name)))),*]
    };
}

const ICON: &str = "image/svg+xml";
type Asset = (&'static str, &'static str, &'static [u8]);
const ASSETS: &[Asset] = assets! {
    HTML "index.html"
    CSS "style.css"
    CSS "views.css"
    ICON "icon.svg"
    MODULE "api.js"
    MODULE "app.js"
    MODULE "device.js"
    MODULE "devices.js"
    MODULE "dom.js"
    MODULE "firmware.js"
    MODULE "fleet.js"
    MODULE "hub.js"
    MODULE "jobs.js"
    MODULE "json.js"
    MODULE "messages.js"
    MODULE "method.js"
    MODULE "rollouts.js"
    MODULE "session.js"
    MODULE "signin.js"
    MODULE "twin.js"
    MODULE "wire.js"
};

/// The page's paths.
pub(crate) fn routes() -> Router<Service> {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { serve("index.html", &headers) }))
        .route(
            "/ui/{name}",
            get(|Path(name): Path<String>, headers: HeaderMap| async move { serve(&name, &headers) }),
        )
        .route("/localhub/page/link", post(access::link))
        .route("/localhub/page/session", post(access::session))
}

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    let asset = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, kind, bytes) = asset.ok_or_else(|| Fault::NotFound(format!("the page has no file {name}")))?;
    let tag = tag(bytes);
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (*bytes).into_response()
    };
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer.insert(OPENER, HeaderValue::from_static("same-origin"));
    // Asked for anew each time, because another version of the hub may stand at the same address.
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(ETAG, tag);
    }
    Ok(response)
}

fn tag(bytes: &[u8]) -> String {
    let digits =
        digest(&SHA256, bytes).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("\"{digits}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_another_names_is_there_and_nothing_comes_from_elsewhere() {
        let names: Vec<&str> = ASSETS.iter().map(|(name, ..)| *name).collect();
        for (name, _, bytes) in ASSETS {
            let text = std::str::from_utf8(bytes).unwrap();
            let imports = text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
            let links = text.split("\"/ui/").skip(1).filter_map(|rest| rest.split('"').next());
            for wanted in imports.chain(links) {
                assert!(names.contains(&wanted), "{name} wants {wanted}");
            }
            for forbidden in ["http://", "https://", "innerHTML", "style=\"", "onclick=\"", "<script>"] {
                let found = text.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
                assert!(!found, "{name} has {forbidden}");
            }
        }
    }

    #[test]
    fn the_page_is_light() {
        let bytes: usize = ASSETS.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert!(bytes < 120 * 1024, "{bytes} bytes");
    }
}
