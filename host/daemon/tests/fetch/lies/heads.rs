//! Heads: endless, dripped, of other protocols, of every status, with headers that contradict one another.

use super::{Answer, Asked, Duration, Must::*, ROW, Row, Step, TAG, answer, raw};

/// Four attempts that a head came to nothing in.
const NO_HEAD: Row = Row { must: Interrupted("cannot fetch"), requests: 4, ..ROW };

/// An honest answer with one header more.
fn with(asked: &Asked<'_>, header: &str) -> Answer {
    let mut answer = asked.honest();
    answer.head.push_str("\r\n");
    answer.head.push_str(header);
    answer
}

fn says(bytes: &[u8], then: Step) -> Answer {
    raw(vec![Step::Send(bytes.to_vec()), then])
}

pub(super) fn rows() -> Vec<Row> {
    [endings(), bombs(), protocols(), statuses(), patience(), contradictions()]
        .into_iter()
        .flatten()
        .collect()
}

fn endings() -> Vec<Row> {
    vec![
        Row { name: "closes before it answers", server: |_| raw(vec![Step::Close]), ..NO_HEAD },
        Row { name: "drops the connection before it answers", server: |_| raw(vec![Step::Abort]), ..NO_HEAD },
        Row {
            name: "closes in mid head",
            server: |_| says(b"HTTP/1.1 200 OK\r\nContent-Le", Step::Close),
            ..NO_HEAD
        },
        Row {
            name: "never answers",
            server: |_| raw(vec![Step::Stall]),
            must: Interrupted("does not answer"),
            ..NO_HEAD
        },
        Row {
            name: "drips its status line",
            server: |_| raw(vec![Step::Repeat(b"H".to_vec(), Duration::from_millis(50))]),
            must: Interrupted("does not answer"),
            ..NO_HEAD
        },
        Row {
            name: "drips headers",
            server: |_| {
                raw(vec![
                    Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Step::Repeat(b"X: y\r\n".to_vec(), Duration::from_millis(50)),
                ])
            },
            must: Interrupted(""),
            ..NO_HEAD
        },
    ]
}

fn bombs() -> Vec<Row> {
    vec![
        Row {
            name: "never stops its head",
            server: |_| {
                raw(vec![
                    Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Step::Repeat(b"X: y\r\n".repeat(1000), Duration::ZERO),
                ])
            },
            ..NO_HEAD
        },
        Row {
            name: "has a thousand headers",
            server: |asked| with(asked, &vec!["X: y"; 1000].join("\r\n")),
            ..NO_HEAD
        },
        Row {
            name: "has a header of a mebibyte",
            server: |asked| with(asked, &format!("X: {}", "y".repeat(1 << 20))),
            ..NO_HEAD
        },
        Row {
            name: "has an entity tag of 64 KiB",
            server: |asked| {
                answer("200 OK", &format!("\r\nETag: \"{}\"", "t".repeat(64 << 10)), asked.content)
            },
            ..ROW
        },
        Row {
            name: "says \"go on\" for ever",
            server: |_| {
                raw(vec![Step::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::from_millis(1))])
            },
            must: Interrupted("does not answer"),
            ..NO_HEAD
        },
        Row {
            name: "says hints, then what it should",
            server: |asked| {
                let mut answer = asked.honest();
                answer.head = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{}", answer.head);
                answer
            },
            ..ROW
        },
    ]
}

fn protocols() -> Vec<Row> {
    vec![
        Row {
            name: "does not speak HTTP",
            server: |_| says(b"SSH-2.0-OpenSSH_9.2\r\n", Step::Close),
            ..NO_HEAD
        },
        Row {
            name: "speaks HTTP/0.9",
            server: |asked| raw(vec![Step::Send(asked.content.to_vec()), Step::Close]),
            ..NO_HEAD
        },
        Row {
            name: "speaks HTTP/1.0, says that it keeps the connection and does not",
            server: |asked| Answer {
                head: "HTTP/1.0 200 OK\r\nConnection: keep-alive".into(),
                steps: vec![Step::Send(asked.content.to_vec()), Step::Close],
            },
            ..ROW
        },
        Row {
            name: "speaks HTTP/1.0 in chunks, which it does not have",
            server: |asked| Answer {
                head: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![Step::Send(asked.content.to_vec()), Step::Close],
            },
            ..NO_HEAD
        },
        Row {
            name: "speaks HTTP/2 unasked",
            server: |_| says(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", Step::Close),
            ..NO_HEAD
        },
        Row {
            name: "asks instead of answering",
            server: |_| says(b"GET / HTTP/1.1\r\nHost: you\r\n\r\n", Step::Close),
            ..NO_HEAD
        },
        Row {
            name: "speaks a version that there is not",
            server: |_| says(b"HTTP/7.3 200 OK\r\nContent-Length: 0\r\n\r\n", Step::Close),
            ..NO_HEAD
        },
        Row {
            name: "changes to another protocol",
            server: |_| {
                says(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
                    Step::Close,
                )
            },
            must: Status(101),
            ..ROW
        },
    ]
}

fn statuses() -> Vec<Row> {
    const FOR_EVER: Row = Row { requests: 4, ..ROW };
    vec![
        Row {
            name: "does not have it",
            server: |_| answer("404 Not Found", "", b"no"),
            must: Status(404),
            ..ROW
        },
        Row { name: "forbids it", server: |_| answer("403 Forbidden", "", b"no"), must: Status(403), ..ROW },
        Row {
            name: "wants a password",
            server: |asked| {
                assert_eq!(asked.request.header("authorization"), None);
                answer("401 Unauthorized", "\r\nWWW-Authenticate: Basic realm=\"x\"", b"no")
            },
            must: Status(401),
            ..ROW
        },
        Row {
            name: "says 200 in 404",
            server: |asked| answer("404 Not Found", "", asked.content),
            must: Status(404),
            ..ROW
        },
        Row {
            name: "says 204",
            server: |_| Answer { head: "HTTP/1.1 204 No Content".into(), steps: vec![] },
            must: Status(204),
            ..ROW
        },
        Row {
            name: "says 204 and sends a body",
            server: |asked| answer("204 No Content", "", asked.content),
            must: Status(204),
            ..ROW
        },
        Row {
            name: "says unchanged of what nobody has",
            server: |_| Answer { head: "HTTP/1.1 304 Not Modified".into(), steps: vec![] },
            must: Status(304),
            straight: Some(Status(304)),
            ..FOR_EVER
        },
        Row {
            name: "has no such status",
            server: |_| answer("999 Whatever", "", b"no"),
            must: Status(999),
            ..ROW
        },
        Row {
            name: "refuses without an end",
            server: |_| Answer {
                head: "HTTP/1.1 410 Gone\r\nConnection: close".into(),
                steps: vec![Step::Endless],
            },
            must: Status(410),
            ..ROW
        },
        Row {
            name: "has several to choose from",
            server: |_| answer("300 Multiple Choices", "\r\nLocation: /b.img", b"choose"),
            must: Status(300),
            ..ROW
        },
        Row {
            name: "fails, then works",
            server: |asked| if asked.number < 2 { answer("500 Oops", "", b"") } else { asked.honest() },
            requests: 3,
            ..ROW
        },
        Row {
            name: "fails for ever",
            server: |_| answer("500 Oops", "", b""),
            must: Status(500),
            ..FOR_EVER
        },
        Row {
            name: "fails for ever without an end",
            server: |_| Answer {
                head: "HTTP/1.1 502 Oops\r\nConnection: close".into(),
                steps: vec![Step::Endless],
            },
            must: Status(502),
            ..FOR_EVER
        },
    ]
}

fn patience() -> Vec<Row> {
    vec![
        Row {
            name: "wants to be left alone for a day",
            server: |asked| match asked.number {
                0 => answer("429 Too Many Requests", "\r\nRetry-After: 86400", b""),
                _ => asked.honest(),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "wants to be left alone for longer than there is time",
            server: |asked| match asked.number {
                0 => answer("503 Busy", "\r\nRetry-After: 18446744073709551615", b""),
                1 => answer("503 Busy", "\r\nRetry-After: 99999999999999999999999999", b""),
                2 => answer("503 Busy", "\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT", b""),
                _ => asked.honest(),
            },
            requests: 4,
            ..ROW
        },
        Row {
            name: "wants to be left alone for less than no time",
            server: |asked| match asked.number {
                0 => answer("408 Slow", "\r\nRetry-After: -1", b""),
                1 => answer("503 Busy", "\r\nRetry-After: soon", b""),
                _ => asked.honest(),
            },
            requests: 3,
            ..ROW
        },
    ]
}

fn contradictions() -> Vec<Row> {
    vec![
        Row { name: "says its length twice", server: |asked| with(asked, "Content-Length: 600000"), ..ROW },
        Row { name: "says two lengths", server: |asked| with(asked, "Content-Length: 300000"), ..NO_HEAD },
        Row {
            name: "says two lengths in one header",
            server: |asked| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: 600000, 300000".into(),
                steps: asked.honest().steps,
            },
            ..NO_HEAD
        },
        Row {
            name: "says a negative length",
            server: |asked| Answer { head: "HTTP/1.1 200 OK\r\nContent-Length: -1".into(), ..asked.honest() },
            ..NO_HEAD
        },
        Row {
            name: "says a length that is no number",
            server: |asked| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: +0x927c0".into(),
                ..asked.honest()
            },
            ..NO_HEAD
        },
        Row { name: "has a NUL in a header", server: |asked| with(asked, "X: a\0b"), ..NO_HEAD },
        Row { name: "has a header without a name", server: |asked| with(asked, ": x"), ..NO_HEAD },
        Row {
            name: "has a space before a colon",
            server: |asked| with(asked, "Content-Length : 5"),
            ..NO_HEAD
        },
        Row { name: "folds a header over lines", server: |asked| with(asked, "X: a\r\n b"), ..NO_HEAD },
        Row {
            name: "names a file of the device's, and gives a cookie",
            server: |asked| {
                assert_eq!(asked.request.header("cookie"), None);
                with(
                    asked,
                    "Content-Disposition: attachment; filename=\"../../etc/passwd\"\r\nSet-Cookie: a=b",
                )
            },
            ..ROW
        },
        Row {
            name: "says that the connection closes, twice over, and keeps it",
            server: |asked| with(asked, "Connection: close, keep-alive\r\nKeep-Alive: timeout=999999999"),
            ..ROW
        },
        Row {
            name: "has two entity tags",
            server: |asked| answer("200 OK", &format!("\r\nETag: {TAG}\r\nETag: \"2\""), asked.content),
            ..ROW
        },
    ]
}
