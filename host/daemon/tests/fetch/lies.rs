//! Servers that lie, stall, drip, break off and change their mind: a table of them.
//!
//! Each row: what the server does with its n-th request, what the fetch must come to, and how many requests it may
//! take. After every row the store holds what was asked for or nothing but a beginning, and never a wrong file.

use hotshoed::fetch::{FetchError, FetchRequest};

use crate::{
    Disk, LIMIT, all, content, digest, fetch, request,
    server::{Answer, Request, Server, Step, answer, broken_after, honest},
};

const SIZE: usize = 600_000;
const HALF: usize = 300_000;
const TAG: &str = "\"1\"";

/// What the fetch must come to.
#[derive(Clone, Copy)]
enum Must {
    /// The right bytes.
    Succeed,
    Interrupted,
    Status(u16),
    Size,
    Digest,
    NoRoom,
}

struct Row {
    name: &'static str,
    /// The content, the request and its number.
    server: fn(&[u8], &Request, usize) -> Answer,
    digest: bool,
    size: bool,
    must: Must,
    requests: usize,
}

const ROW: Row = Row {
    name: "",
    server: |content, request, _| honest(request, content, TAG),
    digest: true,
    size: false,
    must: Must::Succeed,
    requests: 1,
};

fn rows() -> Vec<Row> {
    use Must::*;
    vec![
        ROW,
        Row {
            name: "closes half-way; the rest is asked for and nothing is sent twice",
            server: |content, request, number| {
                let answer = honest(request, content, TAG);
                if number == 0 { broken_after(answer, HALF) } else { answer }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "breaks off after every 70 kB",
            server: |content, request, _| broken_after(honest(request, content, TAG), 70_000),
            requests: 9,
            ..ROW
        },
        Row {
            name: "breaks off before the first byte, for ever",
            server: |content, request, _| broken_after(honest(request, content, TAG), 0),
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "says more bytes than there are",
            server: |content, request, _| {
                let mut answer = honest(request, content, TAG);
                if request.header("range").is_none() {
                    answer.head = answer.head.replace("600000", "900000");
                    answer.steps.push(Step::Abort);
                }
                answer
            },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "says fewer bytes than it sends",
            server: |content, request, _| {
                let mut answer = honest(request, content, TAG);
                answer.head = answer.head.replace("600000", "300000");
                answer.steps.push(Step::Abort);
                answer
            },
            must: Digest,
            ..ROW
        },
        Row {
            name: "says another size than was asked for",
            server: |content, request, _| honest(request, &content[1..], TAG),
            size: true,
            must: Size,
            ..ROW
        },
        Row {
            name: "ignores ranges",
            server: |content, _, number| {
                let answer = answer("200 OK", "\r\nETag: \"1\"", content);
                if number == 0 { broken_after(answer, HALF) } else { answer }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "has no name for the version, so the rest cannot be asked for",
            server: |content, request, number| {
                assert_eq!(request.header("range"), None);
                let answer = answer("200 OK", "\r\nETag: W/\"1\"", content);
                if number == 0 { broken_after(answer, HALF) } else { answer }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "knows a date only",
            server: |content, request, number| {
                let date = "Sun, 22 Nov 2026 10:00:00 GMT";
                if number == 0 {
                    return broken_after(
                        answer("200 OK", &format!("\r\nLast-Modified: {date}"), content),
                        HALF,
                    );
                }
                assert_eq!(
                    (request.header("if-range"), request.header("range")),
                    (Some(date), Some("bytes=300000-"))
                );
                let headers =
                    format!("\r\nLast-Modified: {date}\r\nContent-Range: bytes 300000-599999/600000");
                answer("206 Partial Content", &headers, &content[HALF..])
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "answers a range with another one",
            server: |content, request, number| match (request.header("range"), number) {
                (Some(_), _) => answer(
                    "206 Partial Content",
                    "\r\nContent-Range: bytes 100000-599999/600000",
                    &content[100_000..],
                ),
                (None, 0) => broken_after(honest(request, content, TAG), HALF),
                (None, _) => honest(request, content, TAG),
            },
            requests: 3,
            ..ROW
        },
        Row {
            name: "answers every range with 416",
            server: |content, request, number| match (request.header("range"), number) {
                (Some(_), _) => answer("416 Range Not Satisfiable", "\r\nContent-Range: bytes */600000", b""),
                (None, 0) => broken_after(honest(request, content, TAG), HALF),
                (None, _) => honest(request, content, TAG),
            },
            requests: 3,
            ..ROW
        },
        Row {
            name: "sends a rest that ends too early, again and again",
            server: |content, request, _| match request.header("range") {
                None => broken_after(honest(request, content, TAG), HALF),
                Some(range) => {
                    let start: usize = range["bytes=".len()..range.len() - 1].parse().unwrap();
                    let end = (start + 100_000).min(content.len());
                    let headers = format!("\r\nContent-Range: bytes {start}-{}/600000", end - 1);
                    answer("206 Partial Content", &headers, &content[start..end])
                }
            },
            requests: 4,
            ..ROW
        },
        Row {
            name: "has another file after the break",
            server: |content, request, number| match number {
                0 => broken_after(honest(request, &[0; SIZE], "\"old\""), HALF),
                _ => honest(request, content, TAG),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "has another file after the break and does not say so: fetched all again",
            server: |content, request, number| match number {
                0 => broken_after(honest(request, &[0; SIZE], TAG), HALF),
                _ => honest(request, content, TAG),
            },
            requests: 3,
            ..ROW
        },
        Row {
            name: "has the wrong file",
            server: |_, request, _| honest(request, &[0; SIZE], TAG),
            must: Digest,
            ..ROW
        },
        Row {
            name: "does not have it",
            server: |_, _, _| answer("404 Not Found", "", b"no"),
            must: Status(404),
            ..ROW
        },
        Row {
            name: "forbids it",
            server: |_, _, _| answer("403 Forbidden", "", b"no"),
            must: Status(403),
            ..ROW
        },
        Row {
            name: "fails, then works",
            server: |content, request, number| {
                if number < 2 { answer("500 Oops", "", b"") } else { honest(request, content, TAG) }
            },
            requests: 3,
            ..ROW
        },
        Row {
            name: "fails for ever",
            server: |_, _, _| answer("500 Oops", "", b""),
            must: Status(500),
            requests: 4,
            ..ROW
        },
        Row {
            name: "wants to be left alone",
            server: |content, request, number| match number {
                0 => answer("429 Too Many Requests", "\r\nRetry-After: 86400", b""),
                1 => answer("503 Busy", "\r\nRetry-After: soon", b""),
                _ => honest(request, content, TAG),
            },
            requests: 3,
            ..ROW
        },
        Row {
            name: "sends for ever, a size was asked for",
            server: |_, _, _| Answer { head: "HTTP/1.1 200 OK".into(), steps: vec![Step::Endless] },
            size: true,
            must: Size,
            ..ROW
        },
        Row {
            name: "sends for ever, until the store is full",
            server: |_, _, _| Answer { head: "HTTP/1.1 200 OK".into(), steps: vec![Step::Endless] },
            must: NoRoom,
            ..ROW
        },
        Row {
            name: "sends too little without a length",
            server: |content, _, _| Answer {
                head: "HTTP/1.1 200 OK\r\nConnection: close".into(),
                steps: vec![Step::Send(content[..HALF].to_vec()), Step::Abort],
            },
            size: true,
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "drips",
            server: |_, _, _| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: 600000".into(),
                steps: vec![Step::Drip],
            },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "stalls once in mid body",
            server: |content, request, number| {
                let mut answer = honest(request, content, TAG);
                if number == 0 {
                    answer.steps = vec![Step::Send(content[..HALF].to_vec()), Step::Stall];
                }
                answer
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "stalls in every body",
            server: |_, _, _| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: 600000".into(),
                steps: vec![Step::Stall],
            },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "never stops its head",
            server: |_, _, _| Answer {
                head: format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(200_000)),
                steps: vec![],
            },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "does not speak HTTP",
            server: |_, _, _| Answer { head: "SSH-2.0-OpenSSH_9.2".into(), steps: vec![Step::Abort] },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "sends in chunks",
            server: |content, _, _| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![
                    Step::Send(b"927c0\r\n".to_vec()),
                    Step::Send(content.to_vec()),
                    Step::Send(b"\r\n0\r\n\r\n".to_vec()),
                ],
            },
            ..ROW
        },
        Row {
            name: "sends rubbish for chunks",
            server: |_, _, _| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![Step::Send(b"ten\r\n0123456789\r\n".to_vec()), Step::Abort],
            },
            must: Interrupted,
            requests: 4,
            ..ROW
        },
        Row {
            name: "says that the bytes are encoded: they are taken as they are",
            server: |content, request, _| {
                assert_eq!(request.header("accept-encoding"), Some("identity"));
                answer("200 OK", "\r\nContent-Encoding: gzip", content)
            },
            ..ROW
        },
        Row {
            name: "sends a range nobody asked for",
            server: |content, _, _| {
                answer(
                    "206 Partial Content",
                    "\r\nContent-Range: bytes 300000-599999/600000",
                    &content[HALF..],
                )
            },
            must: Status(206),
            requests: 4,
            ..ROW
        },
        Row {
            name: "says unchanged of what nobody has",
            server: |_, _, _| Answer { head: "HTTP/1.1 304 Not Modified".into(), steps: vec![] },
            must: Status(304),
            requests: 4,
            ..ROW
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row() {
    let bytes = content(1, SIZE);
    let mut wrong = Vec::new();
    for row in &rows() {
        if let Err(why) = check(row, &bytes).await {
            wrong.push(format!("{}: {why}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn check(row: &Row, bytes: &[u8]) -> Result<(), String> {
    let (served, behave) = (bytes.to_vec(), row.server);
    let server = Server::start(move |request, number| behave(&served, request, number)).await;
    let disk = Disk::new();
    let store = disk.store(LIMIT);
    let wanted = FetchRequest {
        digest: row.digest.then(|| digest(bytes)),
        size: row.size.then_some(SIZE as u64),
        ..request(server.url("/a.img"))
    };
    let result = fetch(&store, &server, &wanted).await;
    let as_it_must = match (row.must, &result) {
        (Must::Succeed, Ok(artifact)) => all(artifact) == bytes,
        (Must::Interrupted, Err(FetchError::Interrupted(_))) => true,
        (Must::Status(expected), Err(FetchError::Status { status, .. })) => expected == *status,
        (Must::Size, Err(FetchError::Size { expected, actual })) => {
            *expected == SIZE as u64 && actual != expected
        }
        (Must::Digest, Err(FetchError::Digest { .. })) => true,
        (Must::NoRoom, Err(FetchError::InsufficientSpace { needed, .. })) => *needed > LIMIT,
        _ => false,
    };
    if !as_it_must {
        return Err(format!("{result:?}"));
    }
    let requests = server.requests().len();
    if requests != row.requests {
        return Err(format!("{requests} requests instead of {}; {result:?}", row.requests));
    }
    let whole = std::fs::read_dir(disk.0.path().join("whole")).unwrap().count();
    if whole != usize::from(result.is_ok()) || store.usage() > LIMIT {
        return Err(format!("{whole} whole files, {} bytes", store.usage()));
    }
    // Whatever happened: an honest server makes it well, in this process and after it.
    let served = bytes.to_vec();
    let honest_one = Server::start(move |request, _| honest(request, &served, TAG)).await;
    drop((result, store));
    let again = FetchRequest { url: honest_one.url("/a.img"), digest: Some(digest(bytes)), ..wanted };
    match fetch(&disk.store(LIMIT), &honest_one, &again).await {
        Ok(artifact) if all(&artifact) == bytes => Ok(()),
        other => Err(format!("afterwards: {other:?}")),
    }
}

#[tokio::test]
async fn nothing_is_sent_twice_after_a_break() {
    let bytes = content(1, SIZE);
    let served = bytes.clone();
    let server = Server::start(move |request, number| {
        let answer = honest(request, &served, TAG);
        if number == 0 { broken_after(answer, HALF) } else { answer }
    })
    .await;
    let disk = Disk::new();
    let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img")) };
    fetch(&disk.store(LIMIT), &server, &wanted).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[1].header("range"), Some("bytes=300000-"));
    assert_eq!(requests[1].header("if-range"), Some(TAG));
    assert_eq!(server.sent(), SIZE as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_anywhere_it_resumes_to_the_exact_bytes() {
    // TLS record borders and their neighbours included.
    let bytes = content(2, 200_000);
    let cuts = [0, 1, 16_383, 16_384, 16_385, 65_536, 100_000, 131_071, 199_998, 199_999];
    for cut in cuts {
        let served = bytes.clone();
        let server = Server::start(move |request, number| {
            let answer = honest(request, &served, TAG);
            if number == 0 { broken_after(answer, cut) } else { answer }
        })
        .await;
        let disk = Disk::new();
        let wanted = FetchRequest { digest: Some(digest(&bytes)), ..request(server.url("/a.img")) };
        let artifact = fetch(&disk.store(LIMIT), &server, &wanted).await.unwrap();
        assert!(all(&artifact) == bytes, "cut at {cut}");
        assert_eq!(server.sent(), 200_000, "cut at {cut}");
    }
}
