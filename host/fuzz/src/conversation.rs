//! One connection in memory: bytes in, what is answered out.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};

/// How long a server may hold on to a connection whose other end is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing more must come before what came is taken for all.
const QUIET: Duration = Duration::from_millis(3);
/// The most that is listened to.
const MOST: usize = 1 << 20;

/// Says something to a server and hangs up when it has nothing more to say; gives what it said.
///
/// The first of it may take as long as `first`.
///
/// # Panics
/// The server does not let go of a connection that has ended.
pub(crate) async fn converse<Served: Future<Output = ()>>(
    input: &[u8],
    first: Duration,
    serve: impl FnOnce(DuplexStream) -> Served,
) -> Vec<u8> {
    let (mut client, server) = duplex(64 * 1024);
    let talk = async {
        let mut answer = Vec::new();
        // A server that reads nothing more must not keep anybody waiting.
        if !matches!(timeout(PATIENCE, client.write_all(input)).await, Ok(Ok(()))) {
            let _ = timeout(QUIET, client.read_to_end(&mut answer)).await;
            return answer;
        }
        let (mut piece, mut patience) = ([0; 4096], first);
        while let Ok(Ok(read @ 1..)) = timeout(patience, client.read(&mut piece)).await {
            answer.extend_from_slice(&piece[..read]);
            patience = QUIET;
            if answer.len() > MOST {
                break;
            }
        }
        drop(client);
        answer
    };
    let (served, answer) = tokio::join!(timeout(PATIENCE, serve(server)), talk);
    served.expect("a connection that has ended is let go");
    answer
}

/// A request of HTTP with more header behind its first line, one to a connection, and enough behind it that it is whole.
pub(crate) fn request(bytes: &[u8], header: &str) -> Vec<u8> {
    let mut request = bytes.to_vec();
    let at = bytes.windows(2).position(|two| two == b"\r\n").map_or(bytes.len(), |at| at + 2);
    request.splice(at..at, format!("host: localhost\r\nconnection: close\r\n{header}").into_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    request.resize(request.len() + 512, b' ');
    request
}

/// Whether it is an answer of HTTP, if it is any.
///
/// # Panics
/// It is none, or says that the server itself has failed.
pub(crate) fn assert_served(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{text}");
    assert!(!answer.starts_with(b"HTTP/1.1 500"), "{text}");
}
