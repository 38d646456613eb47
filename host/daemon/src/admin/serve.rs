//! Connections, and how many and how long.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Admin;
use super::peer::Peer;
use super::routes;

/// How many connections there are at once. One more waits until one ends.
const CONNECTIONS: usize = 16;
/// How long a client may take for the head of a request, or say nothing between two.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of a head.
const HEAD: usize = 16 * 1024;
/// How long to leave the kernel alone that gives no connection (too many open files).
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until the process ends.
pub(super) async fn serve(listener: UnixListener, admin: Admin) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let ending = admin.ending.clone();
    let taking = async {
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(converse(stream, permit, admin.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin socket gives no connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    ending.run_until_cancelled(taking).await;
}

async fn converse(stream: UnixStream, permit: OwnedSemaphorePermit, admin: Admin) {
    let peer = Peer::of(&stream);
    conversation(stream, peer, admin).await;
    drop(permit);
}

/// All that is asked over one connection, and answered.
pub(super) async fn conversation(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    admin: Admin,
) {
    let ending = admin.ending.clone();
    let service = TowerToHyperService::new(routes::routes(admin).layer(Extension(peer)));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD);
    let conversation = server.serve_connection(TokioIo::new(stream), service);
    let mut conversation = std::pin::pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = ending.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the admin socket broke");
    }
}
