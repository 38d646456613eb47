//! An install over the socket: a file in the body, or an order for a name, and how far it has come as lines of JSON.
//!
//! The order is carried out to its end whoever goes away meanwhile; the lines are for whoever stays. One file at a
//! time is taken in: two of the largest are more memory than a small device spares.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hotshoe_core::digest::Digest;
use hotshoe_core::manifest::PluginName;
use hotshoe_core::swap::{Demand, Phase};
use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Admin;
use super::answer::Refused;
use super::order::{Order, OrderError};
use super::peer::Peer;
use super::plugins::outcome;
use crate::swap::Installed;

/// The largest plugin that is taken in, in bytes; a little more than the engine takes.
const FILE: usize = 32 * 1024 * 1024;
/// The largest order.
const ORDER: usize = 64 * 1024;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// More lines than an install has.
const LINES: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    /// What a file's digest must be.
    digest: Option<Digest>,
}

/// An order as it stands in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: PluginName,
    version: Option<Version>,
    repository: Option<String>,
    digest: Option<Digest>,
    /// A copy of the repository, by its path on this device.
    directory: Option<String>,
}

enum Wanted {
    File(Bytes, Option<Digest>),
    Name(Order, Option<cap_std::fs::Dir>),
}

pub(super) async fn install(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Query(named): Query<Named>,
    request: Request,
) -> Result<Response, Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_order = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let wanted = if is_order {
        let (order, directory) = order(&body(request, ORDER).await?)?;
        let directory = directory.map(|path| directory_at(&admin, &path)).transpose()?;
        tracing::info!(%peer, plugin = %order.name, version = order.version.as_ref().map(ToString::to_string), "install ordered over the admin socket");
        Wanted::Name(order, directory)
    } else {
        let _one = admin.taking.try_acquire().map_err(|_| {
            Refused::new(429, "busy", "another file is being taken in; try again in a moment")
        })?;
        let component = body(request, FILE).await?;
        tracing::info!(%peer, bytes = component.len(), "a plugin's file came over the admin socket");
        Wanted::File(component, named.digest)
    };
    let (sender, receiver) = mpsc::channel(LINES);
    tokio::spawn(carry_out(admin, wanted, sender, peer));
    let lines = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Value>| async move {
        let line = receiver.recv().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), receiver))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

async fn carry_out(admin: Admin, wanted: Wanted, lines: mpsc::Sender<Value>, peer: Peer) {
    let watch = |phase: Phase| drop(lines.try_send(json!({ "phase": phase })));
    let result = match wanted {
        Wanted::File(component, digest) => admin.orders.file(component, digest.as_ref(), &watch).await,
        Wanted::Name(order, directory) => {
            admin.orders.named(&order, directory.as_ref(), Demand::Explicit, &watch).await
        }
    };
    let last = match &result {
        Ok(installed) => json!({ "done": outcome(installed) }),
        Err(error) => Refused::from(error).document(),
    };
    tell(peer, &result);
    // Nobody may be there to read it.
    let _ = lines.send(last).await;
}

fn tell(peer: Peer, result: &Result<Installed, OrderError>) {
    match result {
        Ok(installed) => {
            let plugin = installed.summary();
            tracing::info!(%peer, plugin = %plugin.name, state = plugin.state, "installed over the admin socket");
        }
        Err(error) => tracing::warn!(%peer, code = error.code(), %error, "install refused"),
    }
}

async fn body(request: Request, limit: usize) -> Result<Bytes, Refused> {
    match tokio::time::timeout(PATIENCE, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Refused::new(
            413,
            "tooLarge",
            format!("the body was not taken: {error}; {limit} bytes are the most"),
        )),
        Err(_) => Err(Refused::new(408, "timedOut", "the body did not come in time")),
    }
}

fn order(body: &[u8]) -> Result<(Order, Option<String>), Refused> {
    let Asked { name, version, repository, digest, directory } = serde_json::from_slice(body)
        .map_err(|error| Refused::new(400, "invalidOrder", format!("not an order: {error}")))?;
    Ok((Order { name, version, repository, digest }, directory))
}

fn directory_at(admin: &Admin, path: &str) -> Result<cap_std::fs::Dir, Refused> {
    let opened = if path.starts_with('/') {
        // A handle is had of what may not be read, too.
        let read = (admin.open)(path.as_ref()).and_then(|dir| dir.entries().map(|_| dir));
        read.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => {
                format!("{error}; the host may read what `read` under [fence] of device.toml names")
            }
            _ => error.to_string(),
        })
    } else {
        Err("it is not an absolute path".to_owned())
    };
    opened.map_err(|error| Refused::new(404, "noDirectory", format!("{path} cannot be opened: {error}")))
}
