//! The MQTT port: TCP connections in, sessions on tasks of their own. All of it runs in the [`crate::lobby`], up to the
//! sessions.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entrance::{Peer, serve};
use super::wire::StreamWire;
use crate::hub::Hub;
use crate::limits::{Door, Visit};
use crate::lobby::Socket;
use crate::tls::ClientCertificate;

/// Accepts connections until `stop`; sessions run on `tasks`.
pub(crate) async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hub: Arc<Hub>,
    door: Arc<Door>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    while let Some((stream, visit)) = door.next(&listener, &stop).await {
        let open = open(stream, acceptor.clone(), Arc::clone(&hub), visit, stop.clone(), tasks.clone());
        tasks.spawn(open);
    }
}

async fn open(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    hub: Arc<Hub>,
    visit: Arc<Visit>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let stream = Socket::new(stream, Arc::clone(&visit));
    let mut peer = Peer::new(visit, hub.limits.connect_within);
    // Boxed: ten thousand idle sessions need not each keep room for a handshake, nor copies of the stream.
    let accepted = async move { acceptor.accept(stream).await.map(Box::new) };
    let handshake = tokio::select! {
        handshake = Box::pin(timeout_at(peer.connect_by, accepted)) => handshake,
        () = peer.visit.overdue() => return tracing::debug!(peer = %peer.address(), "made room for another"),
        () = stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            peer.certificate = certificates.and_then(ClientCertificate::of);
            serve(StreamWire::new(stream), hub, peer, stop, tasks).await;
        }
        Ok(Err(error)) => {
            peer.visit.fail_at_tls(&error);
            tracing::debug!(peer = %peer.address(), %error, "TLS handshake failed");
        }
        Err(_elapsed) => tracing::info!(peer = %peer.address(), "TLS handshake did not finish in time"),
    }
}
