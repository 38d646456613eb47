//! Where strangers are dealt with: on threads of their own, that the system runs after all others.
//!
//! Accepting a connection, its TLS handshake, its CONNECT and the proof of who sent it, the head of its first request:
//! none of it is work for those who are in already, and a handshake costs as much as some twenty direct methods. So
//! all of that runs here, nicer than the hub by [`NICER`] and on half of the processors, and whoever proved who it is moves on
//! to the hub's own threads, with its socket ([`Socket`]). When processors are scarce, strangers wait for devices and not
//! devices for strangers; when they are not, nobody waits.
//!
//! What blocks (the database) runs on the hub's threads all the same: a transaction must not wait for its turn while
//! it holds others up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::limits::Visit;

/// By how much the lobby's threads are nicer than the hub's: they get a tenth of what a busy one of those gets beside them,
/// which is enough to come in.
const NICER: i32 = 10;
/// The nicest that there is.
const NICEST: i32 = 19;
/// How many connections the system keeps that the hub has not yet accepted.
const BACKLOG: u32 = 4096;

/// The lobby's threads. They end when it is dropped.
pub(crate) struct Lobby {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Lobby {
    pub(crate) fn open() -> io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads((processors / 2).max(1))
            .thread_name("lobby")
            .on_thread_start(|| {
                // No process in particular is this thread, on Linux.
                let nicer = getpriority_process(None).map(|present| (present + NICER).min(NICEST));
                if let Err(error) = nicer.and_then(|nicer| setpriority_process(None, nicer)) {
                    tracing::debug!(%error, "the lobby's threads run like all others");
                }
            })
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// To run something in the lobby.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Listens; what comes is heard of in the lobby.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let _here = self.handle.enter();
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        // The last to let go of the hub may be one of the lobby's own tasks, which cannot wait for itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client's socket. It is heard of where it was accepted until its visit is called in ([`Visit::call_in`]), and
/// from then on where it is polled next.
pub(crate) struct Socket {
    /// `None` after a move that failed.
    stream: Option<TcpStream>,
    visit: Arc<Visit>,
    moved: bool,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, visit: Arc<Visit>) -> Self {
        Self { stream: Some(stream), visit, moved: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if !self.moved && self.visit.is_called_in() {
            self.moved = true;
            let stream = self.stream.take().map(TcpStream::into_std).transpose()?;
            self.stream = stream.map(TcpStream::from_std).transpose()?;
        }
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.stream() {
            Ok(stream) => stream.poll_read(context, buffer),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.stream() {
            Ok(stream) => stream.poll_write(context, bytes),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.stream() {
            Ok(stream) => stream.poll_write_vectored(context, slices),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true // as every socket of the system's
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream() {
            Ok(stream) => stream.poll_flush(context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream() {
            Ok(stream) => stream.poll_shutdown(context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::limits::{Door, Limits};

    #[tokio::test]
    async fn the_lobby_gives_way_and_a_socket_called_in_goes_on_elsewhere() {
        let lobby = Lobby::open().unwrap();
        let niceness = lobby.handle().spawn(async { getpriority_process(None).unwrap() }).await.unwrap();
        let own = getpriority_process(None).unwrap();
        assert!(niceness > own || own == NICEST, "{niceness} in the lobby, {own} here");

        let listener = lobby.listen(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = lobby.handle().spawn(async move {
            let door = Door::new("test", 1, Arc::new(Limits::default()));
            let (stream, visit) = door.next(&listener, &CancellationToken::new()).await.unwrap();
            let mut socket = Socket::new(stream, Arc::clone(&visit));
            socket.read_u8().await.unwrap();
            (socket, visit)
        });
        client.write_u8(1).await.unwrap();
        let (mut socket, visit) = accepted.await.unwrap();
        visit.call_in();
        // What is there already, and what comes when nobody in the lobby is left to hear it.
        client.write_u8(2).await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), 2);
        drop(lobby);
        let (read, written) = tokio::join!(socket.read_u8(), client.write_u8(3));
        assert_eq!((read.unwrap(), written.is_ok()), (3, true));
        socket.write_u8(4).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 4);
    }
}
