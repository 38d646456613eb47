//! Bytes to and from a client, whether MQTT runs on TLS or in a WebSocket.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// The most that is read at once: on the stack, so that an idle connection holds no buffer.
const READ: usize = 8 * 1024;

/// A byte channel. Dropping `read`'s future loses nothing.
pub(crate) trait Wire: Send {
    /// The next bytes; `None` at the end.
    fn read(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
    /// Writes and flushes.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends the channel in good order.
    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A wire over any stream.
pub(crate) struct StreamWire<S> {
    stream: S,
}

impl<S> StreamWire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for StreamWire<S> {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        std::future::poll_fn(|context| {
            let mut space = [MaybeUninit::uninit(); READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let read = buffer.filled();
            Poll::Ready(Ok((!read.is_empty()).then(|| Bytes::copy_from_slice(read))))
        })
        .await
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// A wire in the binary messages of a WebSocket. A packet may be cut over messages in any way.
pub(crate) struct WebSocketWire(pub(crate) Box<WebSocket>);

impl Wire for WebSocketWire {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.0.recv().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(Message::Text(_))) => {
                    return Err(io::Error::other("MQTT in a WebSocket comes in binary messages, not text"));
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.send(Message::Binary(bytes)).await.map_err(io::Error::other)
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.send(Message::Close(None)).await.map_err(io::Error::other)
    }
}
