//! A network between the device and a server: bytes through, held after so many, or cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port on loopback that leads to another one.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    /// Grows with each cut; connections of an earlier number end.
    cuts: watch::Sender<u64>,
    /// How many bytes from the server may pass in all.
    allowance: watch::Sender<u64>,
    passed: AtomicU64,
    open: watch::Sender<bool>,
}

impl Proxy {
    /// A network to this port on loopback.
    pub async fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            cuts: watch::Sender::new(0),
            allowance: watch::Sender::new(u64::MAX),
            passed: AtomicU64::new(0),
            open: watch::Sender::new(true),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *accepting.open.borrow() {
                    tokio::spawn(carry(client, target, Arc::clone(&accepting)));
                }
            }
        });
        Proxy { port, state }
    }

    /// From now on lets this many more bytes from the server through, then none until [`Proxy::release`].
    pub fn hold_after(&self, bytes: u64) {
        self.state.allowance.send_replace(self.state.passed.load(Ordering::SeqCst) + bytes);
    }

    /// Lets everything through.
    pub fn release(&self) {
        self.state.allowance.send_replace(u64::MAX);
    }

    /// Ends all connections without a word.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Whether new connections come through.
    pub fn open(&self, open: bool) {
        self.state.open.send_replace(open);
    }

    /// The number of connections that were refused or carried is of no interest; how many bytes came is.
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }
}

async fn carry(client: TcpStream, target: u16, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut allowance = state.allowance.subscribe();
        while let Ok(count) = from_server.read(&mut buffer).await {
            let wanted = state.passed.fetch_add(count as u64, Ordering::SeqCst) + count as u64;
            if allowance.wait_for(|allowed| *allowed >= wanted).await.is_err() || count == 0 {
                break;
            }
            if to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        _ = cuts.changed() => {}
    }
}
