//! The HTTPS port: TLS, then HTTP/1.1 by hyper, then the [`super::router`].
//!
//! A client has a bounded time for the handshake, for each request's head (which also ends idle connections), and
//! for taking what it asked for ([`stalled`]). A head has at most [`LARGEST_HEAD`] bytes and 100 fields. A client
//! has proved itself (see [`crate::limits`]) with the first request that succeeds. Up to the head of the first request all
//! of it runs in the [`crate::lobby`].

mod stalled;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use self::stalled::Stalled;
use super::Service;
use crate::limits::{Door, Visit};
use crate::lobby::Socket;

/// The largest head of a request.
const LARGEST_HEAD: usize = 64 * 1024;
/// hyper's buffer per connection for writing: large, because images go through it.
const BUFFER: usize = 1024 * 1024;

/// Accepts connections until the service stops.
pub(crate) async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    door: Arc<Door>,
    router: Router,
    service: Service,
) {
    while let Some((stream, visit)) = door.next(&listener, &service.stop).await {
        let serve = serve(stream, acceptor.clone(), router.clone(), visit, service.clone());
        service.tasks.spawn(serve);
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    visit: Arc<Visit>,
    service: Service,
) {
    let limits = Arc::clone(&service.hub.limits);
    let stream = Socket::new(stream, Arc::clone(&visit));
    let handshake = tokio::select! {
        handshake = Box::pin(timeout(limits.connect_within, acceptor.accept(stream))) => handshake,
        () = visit.overdue() => return,
        () = service.stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => converse(Box::new(stream), router, visit, service).await,
        Ok(Err(error)) => {
            visit.fail_at_tls(&error);
            tracing::debug!(peer = %visit.peer(), %error, "TLS handshake failed");
        }
        Err(_elapsed) => tracing::info!(peer = %visit.peer(), "TLS handshake did not finish in time"),
    }
}

/// All requests of one connection: the first of them until its head is there, and the rest on the hub's own threads.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    visit: Arc<Visit>,
    service: Service,
) {
    let (limits, stop) = (Arc::clone(&service.hub.limits), service.stop.clone());
    let (visitor, asked) = (Arc::clone(&visit), Arc::new(Notify::new()));
    let asks = Arc::clone(&asked);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let visitor = Arc::clone(&visitor);
        request.extensions_mut().insert(Arc::clone(&visitor));
        let asks = (!visitor.is_called_in()).then(|| Arc::clone(&asks));
        let router = TowerToHyperService::new(router.clone());
        async move {
            if let Some(asks) = asks {
                // The lobby goes no further than this.
                asks.notify_one();
                yield_now().await;
            }
            let response = hyper::service::Service::call(&router, request).await;
            match response.as_ref().map(axum::response::Response::status) {
                Ok(StatusCode::UNAUTHORIZED) => sleep(visitor.fail()).await,
                Ok(status) if status.is_success() => visitor.prove(),
                _ => {}
            }
            response
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Stalled::new(stream, limits.unread_within)), answer)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    let peer = visit.peer();
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => Some(served),
        () = asked.notified() => None,
        () = visit.overdue() => return tracing::debug!(%peer, "made room for another"),
        () = stop.cancelled() => return,
    };
    if let Some(served) = served {
        return ended(peer, served);
    }
    let (tasks, threads) = (service.tasks.clone(), service.hub.threads.clone());
    let rest = async move {
        visit.call_in();
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = visit.overdue() => return tracing::debug!(%peer, "made room for another"),
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended(peer, served);
        // What the connection may wait for in the lobby goes before the hub.
        drop(service);
    };
    drop(tasks.spawn_on(rest, &threads));
}

fn ended(peer: SocketAddr, served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an HTTPS connection ended");
    }
}
