//! Answers of web servers, from the raw bytes of head and body, through the HTTP client that the device has.

use std::{cell::OnceCell, sync::Arc};

use axum::body::Body;
use hotshoed::{
    artifact::{Origin, Validator},
    fetch::{
        FetchSettings, Scheme,
        answer::{Decision, content_range, decide},
        digest_beside,
    },
    receive::{HttpSource, Part, Web},
};
use hyper::Request;
use hyper_util::rt::TokioIo;
use reqwest::{Response, header::HeaderMap};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use crate::pieces::{choice, runtime, text};

const URL: &str = "https://images.example.com/images/acme/1.0.0.img";

thread_local! {
    static SOURCE: OnceCell<(HttpSource, Url)> = const { OnceCell::new() };
}

/// Where the bytes that are there end, and an answer.
pub(super) fn run(data: &[u8]) {
    let Some((position, answer)) = choice(data) else { return };
    if let Some(digest) = text(answer).and_then(digest_beside) {
        assert!(answer.to_ascii_lowercase().windows(64).any(|hex| hex == digest.hex().as_bytes()));
    }
    // The high half of the byte is what is known of the file, the low half how much of it is there.
    let known = (position & 0x80 != 0).then(|| Origin {
        url: URL.to_owned(),
        validator: (position & 0x40 != 0).then(|| Validator::Etag("\"1\"".to_owned())),
        total: (position & 0x20 != 0).then_some(20),
    });
    let position = u64::from(position & 0x0f);
    runtime(async {
        let Some(response) = received(answer).await else { return };
        decided(position, known.as_ref(), response.status(), response.headers());
        judged(position, response, answer.len()).await;
    });
}

/// The answer as the client hands it on; none where it is none.
async fn received(answer: &[u8]) -> Option<Response> {
    let (client, mut server) = tokio::io::duplex(16 * 1024);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/").header("host", "images.example.com").body(Body::empty()).ok()?;
    let serve = async {
        // It answers once it was asked, and then hangs up.
        let mut asked = [0; 512];
        let _ = server.read(&mut asked).await;
        let _ = server.write_all(answer).await;
        let _ = server.shutdown().await;
    };
    let (response, ()) = tokio::join!(sender.send_request(request), serve);
    drop(sender);
    let response = response.ok().map(|response| Response::from(response.map(reqwest::Body::wrap)));
    if response.is_none() {
        connection.abort();
    }
    response
}

fn decided(position: u64, known: Option<&Origin>, status: reqwest::StatusCode, headers: &HeaderMap) {
    match decide(URL, position, known, status, headers) {
        Decision::Rest(origin) => {
            let known = known.expect("bytes are joined to known ones alone");
            let (first, last, total) = content_range(headers).expect("bytes are joined by their range");
            assert!(status == 206 && first == position && first <= last);
            assert!(total.is_none_or(|total| last < total));
            assert!(known.total.is_none() || known.total == origin.total, "the file keeps its size");
            assert!(known.validator.is_none() || known.validator == origin.validator, "and its version");
        }
        Decision::Whole(_) => assert!(status == 200 || status == 206 && position == 0),
        Decision::StartOver(_) => assert!(position > 0, "there is nothing to throw away"),
        Decision::Unchanged => assert_eq!(status, 304),
        Decision::Refused { .. } => assert!(status != 200),
    }
}

async fn judged(position: u64, response: Response, most: usize) {
    let opened = SOURCE.with(|source| {
        let (source, url) = source.get_or_init(source_of);
        source.judge(Part::Image, position, response, url)
    });
    let Ok(mut opened) = opened else { return };
    assert!(opened.start == 0 || opened.start == position, "bytes nobody asked for");
    let mut received = 0;
    while let Ok(Some(piece)) = opened.body.next().await {
        received += piece.len();
        assert!(received <= most, "more bytes than were sent");
    }
}

fn source_of() -> (HttpSource, Url) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = Arc::new(rustls::RootCertStore::empty());
    let web = Web::new(roots, &FetchSettings::default(), Scheme::Https).expect("a client");
    let url: Url = URL.parse().expect("a URL");
    (web.source(url.clone(), Arc::new(|_: &Url| Ok(()))), url)
}
