//! A real HTTPS server that does what a test tells it to, lies included, and keeps count.
//!
//! It writes its answers byte by byte itself: no HTTP library would send what some of them need.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What is sent after the head.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Close the connection without a good-bye.
    Abort,
    /// Close the connection as TLS and TCP want it.
    Close,
    /// Send nothing more, and keep the connection.
    Stall,
    /// Send for ever, as fast as it goes.
    Endless,
    /// Send single bytes for ever, slowly.
    Drip,
    /// Send this again and again, with a pause between.
    Repeat(Vec<u8>, Duration),
}

/// What a client meets before HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// A certificate for this name by the authority that the client trusts.
    Name(&'static str),
    /// The right name, and a certificate that ended.
    Expired,
    /// The right name, and a certificate that has not begun.
    NotYet,
    /// The right name, by an authority that nobody knows.
    OtherAuthority,
    /// The right name, by itself.
    SelfSigned,
    /// No TLS at all: these bytes, then the end.
    Raw(&'static [u8]),
    /// A connection that is closed at once.
    Closed,
    /// A connection on which nothing is ever said.
    Mute,
}

/// An answer: status line and headers without the empty line, then steps. Without a head there are the steps alone.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) steps: Vec<Step>,
}

pub(crate) type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// A running server. Its certificate is for `localhost`.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) ca: Vec<u8>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: Mutex<Vec<Request>>,
    connections: AtomicU64,
    body: AtomicU64,
    stalled: Notify,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_for("localhost", handler).await
    }

    pub(crate) async fn start_for(
        name: &'static str,
        handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(Face::Name(name), handler).await
    }

    pub(crate) async fn start_as(
        face: Face,
        handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let ca = authority();
        let acceptor = acceptor(face, &ca);
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let (handler, shared): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&counts));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, handler, counts) =
                    (acceptor.clone(), Arc::clone(&handler), Arc::clone(&shared));
                tokio::spawn(async move {
                    match face {
                        Face::Closed => {}
                        Face::Mute => std::future::pending().await,
                        Face::Raw(bytes) => {
                            let _ = stream.write_all(bytes).await;
                            // Until the client has had it: what it sent and nobody read would reset the connection.
                            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                        }
                        _ => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                let _ = serve(stream, &*handler, &counts).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, roots: Arc::new(roots), ca: ca.der().to_vec(), counts }
    }

    pub(crate) fn url(&self, path: &str) -> url::Url {
        format!("https://localhost:{}{path}", self.port).parse().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.counts.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Bytes of bodies sent.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.body.load(Ordering::SeqCst)
    }

    /// Waits until an answer has come to a [`Step::Stall`].
    pub(crate) async fn stalled(&self) {
        self.counts.stalled.notified().await;
    }
}

/// Who signs certificates.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a server of this face has for a key and a certificate, where its clients trust this authority.
pub(crate) fn identity(face: Face, ca: &Authority) -> (PrivateKeyDer<'static>, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let name = if let Face::Name(name) = face { name } else { "localhost" };
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    match face {
        Face::Expired => params.not_after = rcgen::date_time_ymd(2020, 1, 1),
        Face::NotYet => params.not_before = rcgen::date_time_ymd(2200, 1, 1),
        _ => {}
    }
    let certificate = match face {
        Face::SelfSigned => params.self_signed(&key),
        Face::OtherAuthority => params.signed_by(&key, &authority()),
        _ => params.signed_by(&key, ca),
    };
    (PrivatePkcs8KeyDer::from(key.serialize_der()).into(), certificate.unwrap().der().clone())
}

/// TLS of a server of this face, without client certificates.
pub(crate) fn acceptor(face: Face, ca: &Authority) -> TlsAcceptor {
    let (key, certificate) = identity(face, ca);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(stream: TlsStream<TcpStream>, handler: &Handler, counts: &Counts) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        let number = {
            let mut requests = counts.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let answer = handler(&request, number);
        if !answer.head.is_empty() {
            stream.write_all(format!("{}\r\n\r\n", answer.head).as_bytes()).await?;
        }
        for step in &answer.steps {
            match step {
                Step::Send(bytes) => {
                    for piece in bytes.chunks(64 * 1024) {
                        stream.write_all(piece).await?;
                        counts.body.fetch_add(piece.len() as u64, Ordering::SeqCst);
                    }
                }
                Step::Abort => {
                    stream.flush().await?;
                    return Ok(());
                }
                Step::Close => {
                    stream.flush().await?;
                    return stream.shutdown().await;
                }
                Step::Stall => {
                    stream.flush().await?;
                    counts.stalled.notify_one();
                    std::future::pending::<()>().await;
                }
                Step::Endless => loop {
                    stream.write_all(&[7; 64 * 1024]).await?;
                    counts.body.fetch_add(64 * 1024, Ordering::SeqCst);
                },
                Step::Drip => loop {
                    stream.write_all(&[7]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                },
                Step::Repeat(bytes, pause) => loop {
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                    counts.body.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    tokio::time::sleep(*pause).await;
                },
            }
        }
        stream.flush().await?;
    }
}

async fn read(stream: &mut BufReader<TlsStream<TcpStream>>) -> std::io::Result<Option<Request>> {
    let mut request = Request::default();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        match line.split_once(": ") {
            None => request.path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
            Some((name, value)) => request.headers.push((name.to_ascii_lowercase(), value.to_owned())),
        }
    }
}

/// An answer of these headers and this body, with its length.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}{headers}", body.len());
    Answer { head, steps: vec![Step::Send(body.to_vec())] }
}

/// An answer without a head of its own.
pub(crate) fn raw(steps: Vec<Step>) -> Answer {
    Answer { head: String::new(), steps }
}

/// What an honest server answers about a file: `Range`, `If-Range` and `If-None-Match` by its entity tag.
pub(crate) fn honest(request: &Request, content: &[u8], tag: &str) -> Answer {
    if request.header("if-none-match") == Some(tag) {
        return Answer { head: format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}"), steps: vec![] };
    }
    let start = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match start {
        Some(start) if request.header("if-range").is_none_or(|asked| asked == tag) => {
            if start >= content.len() {
                return answer("416 Range Not Satisfiable", "", b"");
            }
            let range = format!(
                "\r\nETag: {tag}\r\nContent-Range: bytes {start}-{}/{}",
                content.len() - 1,
                content.len()
            );
            answer("206 Partial Content", &range, &content[start..])
        }
        _ => answer("200 OK", &format!("\r\nETag: {tag}"), content),
    }
}

/// The same answer, but the connection dies after so many bytes of the body.
pub(crate) fn broken_after(answer: Answer, bytes: usize) -> Answer {
    let Some(Step::Send(body)) = answer.steps.first() else { return answer };
    let body = body[..bytes.min(body.len())].to_vec();
    Answer { steps: vec![Step::Send(body), Step::Abort], ..answer }
}
