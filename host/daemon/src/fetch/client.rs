//! One request and its redirects.
//!
//! Each hop is checked like the first URL and by the caller's `allow`; at most three are followed. Nothing a server
//! says is carried over to another: no cookies, no credentials, no referrer; our own range headers are ours. Where a
//! name leads is checked at each connection, see [`super::resolve`].

use std::{error::Error, sync::Arc};

use reqwest::{
    Response,
    header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION},
    redirect,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::UnixTime,
    time_provider::{DefaultTimeProvider, TimeProvider},
};
use url::Url;

use super::{
    Allow, Clock, FetchError, FetchSettings, Scheme,
    error::shown,
    resolve::{self, Resolver},
};

/// Redirects that are followed.
const HOPS: usize = 3;

const AGENT: &str = concat!("hotshoe/", env!("CARGO_PKG_VERSION"));

/// An HTTPS client that does nothing by itself.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    timeout: std::time::Duration,
}

/// The time that certificates are judged by.
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs((self.0)())))
    }
}

impl std::fmt::Debug for Time {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Time")
    }
}

/// Why there is no answer.
pub(crate) enum Failed {
    /// A later try may help.
    Broken(String),
    /// It will not.
    Final(FetchError),
}

impl Client {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        settings: &FetchSettings,
        scheme: Scheme,
    ) -> Result<Self, FetchError> {
        let unusable =
            |error: &dyn Error| FetchError::Io(format!("cannot set up the HTTPS client: {}", causes(error)));
        let time: Arc<dyn TimeProvider> = match &settings.clock {
            Some(clock) => Arc::new(Time(clock.clone())),
            None => Arc::new(DefaultTimeProvider),
        };
        let tls = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), time)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let resolver = Resolver {
            reach: Arc::clone(&settings.reach),
            lookup: settings.lookup.clone().unwrap_or_else(resolve::of_the_system),
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(scheme == Scheme::Https)
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(AGENT)
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(settings.connect_timeout)
            .build()
            .map_err(|error| unusable(&error))?;
        // A connection that takes its whole time-out and then a head that does too.
        let timeout = settings.connect_timeout.saturating_add(settings.stall_timeout);
        Ok(Self { http, timeout })
    }

    /// Asks, follows redirects, and returns the last answer's head and where it came from.
    pub(crate) async fn ask(
        &self,
        url: &Url,
        headers: &HeaderMap,
        allow: &Allow,
    ) -> Result<(Response, Url), Failed> {
        let mut url = url.clone();
        for _ in 0..=HOPS {
            let response = self.hop(&url, headers).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((response, url));
            }
            url = next(&url, &response, allow).map_err(Failed::Final)?;
        }
        let text = format!("{} leads through more than {HOPS} redirects", shown(&url));
        Err(Failed::Final(FetchError::Denied(text)))
    }

    async fn hop(&self, url: &Url, headers: &HeaderMap) -> Result<Response, Failed> {
        let request = self.http.get(url.clone()).headers(headers.clone());
        // The bytes as they are: a decoder would change them, and their number.
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                if let Some(why) = resolve::forbidden(&error) {
                    let text = format!("{} is not fetched: {why}", shown(url));
                    return Err(Failed::Final(FetchError::Denied(text)));
                }
                let text = format!("cannot fetch {}: {}", shown(url), causes(&error.without_url()));
                // A certificate does not get better within minutes, and a stranger is not asked twice.
                if text.contains("invalid peer certificate") {
                    return Err(Failed::Final(FetchError::Interrupted(text)));
                }
                Err(Failed::Broken(text))
            }
            Err(_) => Err(Failed::Broken(format!("{} does not answer", shown(url)))),
        }
    }
}

/// Whether a URL can be fetched at all.
pub(crate) fn check(url: &Url) -> Result<(), FetchError> {
    let shown = shown(url);
    if url.scheme() != "https" {
        let text = format!("{shown} is not fetched: the scheme is {:?}, only \"https\" is", url.scheme());
        return Err(FetchError::InvalidUrl(text));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let text = format!("{shown} is not fetched: the URL holds a user name or password; leave it out");
        return Err(FetchError::InvalidUrl(text));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(FetchError::InvalidUrl(format!("{shown} names no host")));
    }
    Ok(())
}

fn next(from: &Url, response: &Response, allow: &Allow) -> Result<Url, FetchError> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(to) = location.and_then(|location| from.join(location).ok()) else {
        return Err(FetchError::Status { url: shown(from), status });
    };
    let denied = |why: String| FetchError::Denied(format!("{} leads elsewhere: {why}", shown(from)));
    check(&to).map_err(|error| denied(error.to_string()))?;
    allow(&to).map_err(denied)?;
    Ok(to)
}

/// An error and what caused it, in one line.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
