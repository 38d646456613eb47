//! The MQTT port: TCP connections in, sessions on tasks of their own.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::{Peer, serve};
use super::wire::StreamWire;
use crate::hub::Hub;
use crate::tls::ClientCertificate;

/// How many MQTT connections may be open; more are closed as they come.
const MOST: usize = 20_000;

/// Accepts connections until `stop`; sessions run on `tasks`.
pub(crate) async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hub: Arc<Hub>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: wait for some to come back rather than spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%address, "too many connections");
            continue;
        };
        let (acceptor, hub, stop) = (acceptor.clone(), Arc::clone(&hub), stop.clone());
        tasks.spawn(async move {
            let _permit = permit;
            open(stream, acceptor, hub, Peer::new(address.to_string()), stop).await;
        });
    }
}

async fn open(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    hub: Arc<Hub>,
    mut peer: Peer,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(peer = %peer.address, %error, "cannot set TCP_NODELAY");
    }
    let handshake = tokio::select! {
        handshake = timeout_at(peer.connect_by, acceptor.accept(stream)) => handshake,
        () = stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            peer.certificate = certificates.and_then(ClientCertificate::of);
            serve(StreamWire::new(stream), hub, peer, stop).await;
        }
        Ok(Err(error)) => tracing::info!(peer = %peer.address, %error, "TLS handshake failed"),
        Err(_elapsed) => tracing::info!(peer = %peer.address, "TLS handshake did not finish in time"),
    }
}
