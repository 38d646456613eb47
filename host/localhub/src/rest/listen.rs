//! The HTTPS port: TLS, then HTTP/1.1 by hyper, then the [`super::router`].
//!
//! A client has a bounded time for the handshake, for each request's head (which also ends idle connections), and
//! for taking what it asked for ([`stalled`]). A head has at most [`LARGEST_HEAD`] bytes and 100 fields. A client
//! has proved itself (see [`crate::limits`]) with the first request that succeeds.

mod stalled;

use std::sync::Arc;

use axum::Router;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::stalled::Stalled;
use super::Service;
use crate::limits::{Door, Visit};

/// The largest head of a request.
const LARGEST_HEAD: usize = 64 * 1024;
/// hyper's buffer per connection for writing: large, because images go through it.
const BUFFER: usize = 1024 * 1024;

/// Accepts connections until the service stops.
pub(crate) async fn listen(listener: TcpListener, acceptor: TlsAcceptor, door: Arc<Door>, service: Service) {
    let router = super::router(service.clone());
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
    let (limits, stop) = (&service.hub.limits, &service.stop);
    let handshake = tokio::select! {
        handshake = Box::pin(timeout(limits.connect_within, acceptor.accept(stream))) => handshake,
        () = visit.overdue() => return,
        () = stop.cancelled() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => return tracing::debug!(peer = %visit.peer(), %error, "TLS handshake failed"),
        Err(_elapsed) => return tracing::info!(peer = %visit.peer(), "TLS handshake did not finish in time"),
    };
    let visitor = Arc::clone(&visit);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let visitor = Arc::clone(&visitor);
        request.extensions_mut().insert(Arc::clone(&visitor));
        let answer = hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request);
        async move {
            let response = answer.await;
            match response.as_ref().map(axum::response::Response::status) {
                Ok(StatusCode::UNAUTHORIZED) => visitor.fail(),
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
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = visit.overdue() => return tracing::debug!(peer = %visit.peer(), "made room for another"),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(peer = %visit.peer(), %error, "an HTTPS connection ended");
    }
}
