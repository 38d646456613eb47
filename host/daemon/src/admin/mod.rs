//! The admin socket: what whoever may administer this device asks of it, without any hub.
//!
//! HTTP/1.1 with JSON over a Unix socket. Who may speak is decided by the operating system alone: the socket has its
//! owner, group and mode before anybody can reach it (`socket`), and each change is logged with the process that
//! asked for it. Everything is bounded: connections, headers, bodies, and how long a client may take (`serve`).
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /status` | what `hotshoe.status` says |
//! | `GET /jobs` | the jobs |
//! | `POST /jobs/ID/cancel` | cancels it, durably; answers how it stands now |
//! | `POST /methods/NAME` with a payload as JSON | one of the host's own methods, such as `hotshoe.safeMode.leave` |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /plugins`, `GET /plugins/NAME` | the plugins, one in detail |
//! | `POST /plugins[?digest=D]` with a component's bytes | installs it |
//! | `POST /plugins` with `{name, version?, repository?, digest?, directory?}` as JSON | installs it |
//! | `POST /plugins/NAME/grant`, `POST /plugins/NAME/rollback`, `DELETE /plugins/NAME` | does that |
//! | `GET /plugins/NAME/logs?after=N&follow=true` | lines as JSON, one a line |
//!
//! An install answers lines of JSON: `{"phase"}` for each step that is done, and `{"done"}` or `{"error"}` at its end.
//!
//! A refusal is `{"error": {"code", "message"}}` with the status that its code stands for. Why HTTP: the tools that
//! read metrics speak it, `curl --unix-socket` is on every desk, and the protocol is not one of ours to maintain. It
//! listens on no network, and nothing here knows how a plugin is made or run.

mod answer;
mod install;
mod jobs;
mod logs;
mod order;
mod peer;
mod plugins;
mod routes;
mod serve;
mod socket;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hotshoe_core::method::MethodResponse;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::capability::Logs;
use crate::job::Jobs;
use crate::trust::OpenDirectory;

pub use order::{Order, OrderError, Orders};
pub use plugins::outcome;
pub use socket::{Socket, SocketError, Waiting, listen};

/// What the device says of itself.
pub trait Told: Send + Sync + 'static {
    /// What `hotshoe.status` answers.
    fn status(&self) -> BoxFuture<'_, Value>;

    /// The jobs, newest last.
    fn jobs(&self) -> Value;

    /// The answer to one of the host's own methods; `None` where it is none.
    fn method<'a>(&'a self, name: &'a str, payload: &'a Value) -> BoxFuture<'a, Option<MethodResponse>>;

    /// All figures, as OpenMetrics text.
    fn metrics(&self) -> String;
}

/// What the socket serves. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// The device.
    pub told: Arc<dyn Told>,
    /// The last log lines of the plugins.
    pub logs: Logs,
    /// Installs plugins, and has them.
    pub orders: Orders,
    /// The jobs.
    pub jobs: Jobs,
    /// Opens the copies of repositories that orders name: whoever may administer the device may name one on it.
    pub open: OpenDirectory,
    /// Room for one file that is being taken in.
    pub taking: Arc<Semaphore>,
    /// Cancelled when the process ends: whoever follows something is let go.
    pub ending: CancellationToken,
}

impl Admin {
    /// Opens the socket, and serves until `ending`.
    ///
    /// # Errors
    /// When there could or can be no such socket; see [`SocketError`].
    pub fn start(self, socket: Result<Waiting, SocketError>) -> Result<(), SocketError> {
        let listener = socket?.open()?;
        tokio::spawn(serve::serve(listener, self));
        Ok(())
    }

    /// Serves one connection that did not come over the socket, to its end: whoever hands it over says who may speak.
    ///
    /// Must be called within a Tokio runtime with time and I/O.
    pub async fn converse(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        serve::conversation(stream, peer::Peer::default(), self).await;
    }
}
