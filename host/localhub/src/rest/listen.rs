//! The HTTPS port: TLS, then HTTP/1.1 by hyper, then the [`super::router`].
//!
//! A client has a bounded time for the handshake, for each request's head (which also ends idle connections), and
//! for taking what it asked for ([`stalled`]).

mod stalled;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::stalled::Stalled;

/// How many HTTPS connections may be open.
const MOST: usize = 20_000;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(60);
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// hyper's buffer per connection for writing: large, because images go through it.
const BUFFER: usize = 1024 * 1024;

/// Accepts connections until `stop`.
pub(crate) async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _address)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!("too many HTTPS connections");
            continue;
        };
        let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            serve(stream, acceptor, router, stop).await;
        });
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)) => handshake,
        () = stop.cancelled() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%error, "TLS handshake failed"),
        Err(_elapsed) => return tracing::info!("TLS handshake did not finish in time"),
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Stalled::new(stream)), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTPS connection ended");
    }
}
