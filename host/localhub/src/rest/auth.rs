//! Service tokens: `Authorization: SharedAccessSignature …` signed with a policy's key (`iothub.md` §6.1).
//!
//! Tokens of Entra ID (`Bearer …`) are refused: there is nobody here to ask about them. The host of the token's
//! resource is whatever the caller calls this hub; the rest of it, if there is one, must cover the path.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST};
use hotshoe_core::sas::Token;

use super::Service;
use crate::clock;
use crate::fault::Fault;
use crate::policies::Right;

impl Service {
    /// Checks that a request may do what needs `right`, on the resource `path` (such as `/devices/d`). Gives the time
    /// at which its token stops being good, in Unix seconds, slack included.
    pub(crate) fn authorize(&self, headers: &HeaderMap, right: Right, path: &str) -> Result<u64, Fault> {
        let refuse = |reason: String| Fault::Unauthorized(reason);
        let value = headers.get(AUTHORIZATION).ok_or_else(|| refuse("no authorization header".into()))?;
        let text = value.to_str().map_err(|_| refuse("the authorization header is not text".into()))?;
        let token = Token::parse(text).map_err(|error| refuse(error.to_string()))?;
        let policy = token.policy.as_deref().ok_or_else(|| refuse("the token names no policy".into()))?;
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(&self.hub.host);
        let bare = host.rsplit_once(':').map_or(host, |(bare, _port)| bare);
        if ![bare, self.hub.host.as_str()].iter().any(|host| token.covers(&format!("{host}{path}"))) {
            return Err(refuse(format!("the token does not cover {bare}{path}")));
        }
        let (now, slack) = (clock::now_seconds(), self.hub.clock_slack.as_secs());
        let mut reason = format!("the policy {policy:?} does not exist or lacks the right {right:?}");
        for key in self.hub.policies.keys(policy, right) {
            match token.verify(key, now, slack) {
                Ok(()) => return Ok(token.expiry.saturating_add(slack)),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(refuse(reason))
    }
}
