//! Who a CONNECT comes from, and whether it may (`iothub.md` §1.2–1.5).
//!
//! The host in the user name is what the client calls the hub, which may be another name than ours when a gateway
//! name is used, so it is not compared: the key decides. The client id must equal the identity in the user name. A
//! module of a disabled device is as disabled as the device.

use std::sync::Arc;

use hotshoe_core::sas::Token;

use super::entrance::Peer;
use super::protocol::{Connect, ReturnCode};
use super::user_name::UserName;
use crate::clock;
use crate::hub::Hub;
use crate::identity::{AuthenticationKind, Name, Thumbprints};
use crate::policies::Right;
use crate::store::Record;
use crate::tls::ClientCertificate;

/// An accepted client.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) name: Name,
    /// When the token stops being good, in seconds since the epoch, slack included; `None` for certificates.
    pub(super) expires: Option<u64>,
    /// Whether the user name told an API version; without one IoT Hub refuses twin patches.
    pub(super) has_api_version: bool,
}

/// Why a client is not let in. The text is for the hub's log; the client gets the code alone.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: ReturnCode,
    pub(super) reason: String,
}

pub(super) fn unauthorized(reason: impl Into<String>) -> Refusal {
    Refusal { code: ReturnCode::NotAuthorized, reason: reason.into() }
}

pub(super) fn unavailable(reason: impl Into<String>) -> Refusal {
    Refusal { code: ReturnCode::Unavailable, reason: reason.into() }
}

/// Checks user name, client id and proof against the registry.
pub(super) async fn log_in(hub: &Arc<Hub>, peer: &Peer, connect: &Connect) -> Result<Login, Refusal> {
    let user = UserName::parse(&connect.user_name).ok_or_else(|| {
        unavailable(format!("the user name {:?} is not host/device/?api-version=…", connect.user_name))
    })?;
    let name = match user.module {
        None => Name::device(user.device),
        Some(module) => Name::module(user.device, module),
    }
    .map_err(|fault| unauthorized(fault.to_string()))?;
    if connect.client_id != name.to_string() {
        let reason = format!("the client id {:?} is not the user name's {name}", connect.client_id);
        return Err(unauthorized(reason));
    }
    if hub.is_refused(&name) {
        return Err(unavailable(format!("{name} is refused for a while on request")));
    }
    let record = hub.record(&name).await.map_err(|fault| match fault.status() {
        404 => unauthorized(fault.to_string()),
        _ => unavailable(fault.to_string()),
    })?;
    if !record.is_enabled() || !is_parent_enabled(hub, &name).await? {
        return Err(unavailable(format!("{name} is disabled")));
    }
    let expires = if connect.password.is_empty() {
        by_certificate(hub, &record, &name, peer).await?;
        None
    } else {
        Some(by_token(hub, &record, user.host, &name, &connect.password)?)
    };
    let model_id = user.model_id.unwrap_or_default();
    if model_id != record.model_id {
        hub.keep_model(&name, model_id).await.map_err(|fault| unavailable(fault.to_string()))?;
    }
    Ok(Login { name, expires, has_api_version: user.has_api_version })
}

async fn is_parent_enabled(hub: &Arc<Hub>, name: &Name) -> Result<bool, Refusal> {
    if name.module_id().is_none() {
        return Ok(true);
    }
    let device = Name::device(name.device_id()).map_err(|fault| unauthorized(fault.to_string()))?;
    match hub.record(&device).await {
        Ok(record) => Ok(record.is_enabled()),
        Err(fault) => Err(unavailable(fault.to_string())),
    }
}

fn by_token(hub: &Hub, record: &Record, host: &str, name: &Name, password: &str) -> Result<u64, Refusal> {
    let token = Token::parse(password).map_err(|error| unauthorized(format!("the password: {error}")))?;
    let bare = host.rsplit_once(':').map_or(host, |(bare, _port)| bare);
    let resource = format!("{bare}{}", name.resource());
    if !token.covers(&resource) {
        return Err(unauthorized(format!("the token does not cover {resource}")));
    }
    let slack = hub.clock_slack.as_secs();
    let now = clock::now_seconds();
    let verifies = |key: &str| token.verify(key, now, slack);
    let verified = match &token.policy {
        Some(policy) => first_good(hub.policies.keys(policy, Right::DeviceConnect), verifies),
        None if record.identity.authentication.kind == AuthenticationKind::Sas => {
            first_good(record.identity.authentication.symmetric_key.keys(), verifies)
        }
        None => Err(format!("{name} does not authenticate by keys")),
    };
    verified.map_err(|reason| unauthorized(format!("the token of {name}: {reason}")))?;
    Ok(token.expiry.saturating_add(slack))
}

fn first_good<'a, E: std::fmt::Display>(
    keys: impl Iterator<Item = &'a str>,
    verifies: impl Fn(&str) -> Result<(), E>,
) -> Result<(), String> {
    let mut reason = "no key that may sign it".to_owned();
    for key in keys {
        match verifies(key) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

async fn by_certificate(hub: &Arc<Hub>, record: &Record, name: &Name, peer: &Peer) -> Result<(), Refusal> {
    let Some(certificate) = &peer.certificate else {
        return Err(unauthorized("neither a password nor a client certificate"));
    };
    let authentication = &record.identity.authentication;
    let now = clock::now_seconds();
    let proved = match authentication.kind {
        AuthenticationKind::SelfSigned => by_thumbprint(&authentication.x509_thumbprint, certificate, now),
        AuthenticationKind::CertificateAuthority => {
            let authorities =
                hub.device_authorities().await.map_err(|fault| unavailable(fault.to_string()))?;
            certificate.check_chain(&authorities, &name.to_string(), now)
        }
        AuthenticationKind::Sas | AuthenticationKind::None => {
            Err(format!("{name} does not authenticate by certificate"))
        }
    };
    proved.map_err(|reason| unauthorized(format!("the client certificate of {name}: {reason}")))
}

/// A self-signed certificate counts while it is valid and its thumbprint is the registered one.
fn by_thumbprint(known: &Thumbprints, certificate: &ClientCertificate, now: u64) -> Result<(), String> {
    let own = certificate.thumbprints();
    let known = [&known.primary_thumbprint, &known.secondary_thumbprint].into_iter().flatten();
    if !known.into_iter().any(|known| own.iter().any(|own| own.eq_ignore_ascii_case(known))) {
        return Err("its thumbprint is not a registered one".into());
    }
    certificate.check_time(now)
}
