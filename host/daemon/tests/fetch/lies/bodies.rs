//! Bodies: too long, too short, too slow, for ever, in chunks that are none, and of other bytes.

use super::{Answer, Duration, HALF, Must::*, ROW, Row, SIZE, Step, TAG, answer, broken_after, honest, raw};

/// 10 MiB of zeros as gzip: a bomb for whoever unpacks it.
const BOMB: &[u8] = include_bytes!("bomb.gz");

fn unsized_body(steps: Vec<Step>) -> Answer {
    Answer { head: "HTTP/1.1 200 OK\r\nConnection: close".into(), steps }
}

fn chunked(parts: &[&[u8]]) -> Answer {
    Answer {
        head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
        steps: vec![Step::Send(parts.concat()), Step::Close],
    }
}

/// The size line of a chunk that holds all of the content.
const ALL: &[u8] = b"927c0\r\n";

pub(super) fn rows() -> Vec<Row> {
    [lengths(), paces(), chunks(), encodings(), wrong()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Row> {
    vec![
        Row { name: "does what it should", ..ROW },
        Row {
            name: "says more bytes than there are",
            server: |asked| {
                let mut answer = asked.honest();
                if !asked.ranged() {
                    answer.head = answer.head.replace("600000", "900000");
                    answer.steps.push(Step::Abort);
                }
                answer
            },
            must: Interrupted("no bytes where ours end"),
            requests: 4,
            straight: Some(Status(416)),
            ..ROW
        },
        Row {
            name: "says fewer bytes than it sends",
            server: |asked| {
                let mut answer = asked.honest();
                answer.head = answer.head.replace("600000", "300000");
                answer.steps.push(Step::Abort);
                answer
            },
            must: Digest,
            ..ROW
        },
        Row {
            name: "says another size than was asked for",
            server: |asked| honest(asked.request, &asked.content[1..], TAG),
            size: true,
            must: Size,
            ..ROW
        },
        Row {
            name: "has nothing at all, and says it is all",
            server: |_| answer("200 OK", "", b""),
            must: Digest,
            straight: Some(Interrupted("the image is empty")),
            ..ROW
        },
        Row {
            name: "says a size that no disk has",
            server: |_| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551000".into(),
                steps: vec![Step::Endless],
            },
            must: NoRoom,
            ..ROW
        },
        Row {
            name: "sends for ever, a size was asked for",
            server: |_| unsized_body(vec![Step::Endless]),
            size: true,
            must: Size,
            straight: Some(Digest),
            ..ROW
        },
        Row {
            name: "sends for ever, until the store is full",
            server: |_| unsized_body(vec![Step::Endless]),
            must: NoRoom,
            ..ROW
        },
        Row {
            name: "sends all without a length",
            server: |asked| unsized_body(vec![Step::Send(asked.content.to_vec()), Step::Close]),
            ..ROW
        },
        Row {
            name: "sends too little without a length and breaks off",
            server: |asked| unsized_body(vec![Step::Send(asked.content[..HALF].to_vec()), Step::Abort]),
            size: true,
            must: Interrupted("broke off"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "sends too little without a length and ends well",
            server: |asked| unsized_body(vec![Step::Send(asked.content[..HALF].to_vec()), Step::Close]),
            must: Digest,
            ..ROW
        },
        Row {
            name: "sends too little without a length and ends well, a size was asked for",
            server: |asked| unsized_body(vec![Step::Send(asked.content[..HALF].to_vec()), Step::Close]),
            size: true,
            must: Size,
            straight: Some(Interrupted("before the image did")),
            ..ROW
        },
    ]
}

fn paces() -> Vec<Row> {
    vec![
        Row {
            name: "breaks off after every 70 kB",
            server: |asked| broken_after(asked.honest(), 70_000),
            requests: 9,
            ..ROW
        },
        Row {
            name: "breaks off before the first byte, for ever",
            server: |asked| broken_after(asked.honest(), 0),
            must: Interrupted("broke off"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "drips",
            server: |_| of_600_000(vec![Step::Drip]),
            must: Interrupted("too slow to wait for"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "stalls once in mid body",
            server: |asked| match asked.number {
                0 => Answer {
                    steps: vec![Step::Send(asked.content[..HALF].to_vec()), Step::Stall],
                    ..asked.honest()
                },
                _ => asked.honest(),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "stalls in every body",
            server: |_| of_600_000(vec![Step::Stall]),
            must: Interrupted("stalls"),
            requests: 4,
            ..ROW
        },
    ]
}

fn of_600_000(steps: Vec<Step>) -> Answer {
    Answer { head: "HTTP/1.1 200 OK\r\nContent-Length: 600000".into(), steps }
}

fn chunks() -> Vec<Row> {
    const BROKEN: Row = Row { must: Interrupted("broke off"), requests: 4, ..ROW };
    vec![
        Row {
            name: "sends in chunks",
            server: |asked| chunked(&[ALL, asked.content, b"\r\n0\r\n\r\n"]),
            ..ROW
        },
        Row { name: "chunk of no size", server: |_| chunked(&[b"ten\r\n0123456789\r\n"]), ..BROKEN },
        Row { name: "chunk of a negative size", server: |_| chunked(&[b"-1\r\n0123456789\r\n"]), ..BROKEN },
        Row {
            name: "chunk of a size beyond 64 bits",
            server: |asked| chunked(&[b"1ffffffffffffffff\r\n", asked.content]),
            ..BROKEN
        },
        Row {
            name: "chunk that is the largest there can be",
            server: |_| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![Step::Send(b"ffffffffffffffff\r\n".to_vec()), Step::Endless],
            },
            must: NoRoom,
            ..ROW
        },
        Row {
            name: "chunks without the last one",
            server: |asked| chunked(&[ALL, asked.content, b"\r\n"]),
            ..BROKEN
        },
        Row {
            name: "chunk extensions for ever",
            server: |_| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![Step::Send(b"5;".to_vec()), Step::Repeat(vec![b'x'; 16 << 10], Duration::ZERO)],
            },
            ..BROKEN
        },
        Row {
            name: "trailers for ever",
            server: |asked| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked".into(),
                steps: vec![
                    Step::Send([ALL, asked.content, b"\r\n0\r\n"].concat()),
                    Step::Repeat(b"X: y\r\n".repeat(1000), Duration::ZERO),
                ],
            },
            ..BROKEN
        },
        Row {
            name: "chunks and a length that differs",
            server: |asked| Answer {
                head: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked".into(),
                steps: vec![Step::Send([ALL, asked.content, b"\r\n0\r\n\r\n"].concat()), Step::Close],
            },
            must: Size,
            straight: Some(Digest),
            ..ROW
        },
    ]
}

fn encodings() -> Vec<Row> {
    vec![
        Row {
            name: "says that the bytes are gzip: they are taken as they are",
            server: |asked| {
                assert_eq!(asked.request.header("accept-encoding"), Some("identity"));
                answer("200 OK", "\r\nContent-Encoding: gzip", asked.content)
            },
            ..ROW
        },
        Row {
            name: "says that the bytes are br",
            server: |asked| answer("200 OK", "\r\nContent-Encoding: br", asked.content),
            ..ROW
        },
        Row {
            name: "says that the bytes are zstd, deflate and gzip",
            server: |asked| answer("200 OK", "\r\nContent-Encoding: zstd, deflate, gzip", asked.content),
            ..ROW
        },
        Row {
            name: "sends a gzip bomb",
            server: |_| answer("200 OK", "\r\nContent-Encoding: gzip", BOMB),
            must: Digest,
            ..ROW
        },
        Row {
            name: "sends a gzip bomb, a size was asked for",
            server: |_| answer("200 OK", "\r\nContent-Encoding: gzip", BOMB),
            size: true,
            must: Size,
            ..ROW
        },
        Row {
            name: "sends a gzip bomb as the way that the body travels",
            server: |_| Answer {
                head: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked".into(),
                steps: vec![
                    Step::Send(format!("{:x}\r\n", BOMB.len()).into_bytes()),
                    Step::Send([BOMB, b"\r\n0\r\n\r\n"].concat()),
                ],
            },
            must: Digest,
            ..ROW
        },
    ]
}

fn wrong() -> Vec<Row> {
    vec![
        Row {
            name: "has another file of the same length",
            server: |asked| honest(asked.request, &[0; SIZE], TAG),
            must: Digest,
            ..ROW
        },
        Row {
            name: "has one wrong byte",
            server: |asked| {
                let mut content = asked.content.to_vec();
                content[HALF] ^= 1;
                honest(asked.request, &content, TAG)
            },
            must: Digest,
            ..ROW
        },
        Row {
            name: "has one byte too many",
            server: |asked| honest(asked.request, &[asked.content, b"!"].concat(), TAG),
            must: Digest,
            ..ROW
        },
        Row {
            name: "answers a request that was not made yet, on a connection that is kept",
            server: |asked| {
                match asked.number {
                // In one piece: what came later could not be told from the answer to the next request.
                0 => raw(vec![Step::Send(
                    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
                        .to_vec(),
                )]),
                _ => asked.honest(),
            }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "sends rubbish behind the image, on a connection that is kept",
            server: |asked| {
                let mut answer = asked.honest();
                answer.steps.push(Step::Repeat(vec![0xff; 1024], Duration::from_millis(1)));
                answer
            },
            ..ROW
        },
        Row {
            name: "has a digest beside the file that is of another one",
            server: |asked| match asked.request.path.as_str() {
                "/a.img" => asked.honest(),
                _ => answer("200 OK", "", "0".repeat(64).as_bytes()),
            },
            digest: false,
            must: Digest,
            requests: 2,
            ..ROW
        },
        Row {
            name: "has a page where the digest should be",
            server: |_| answer("200 OK", "\r\nContent-Type: text/html", b"<html>no such file"),
            digest: false,
            must: Untrusted("holds no SHA-256 digest"),
            ..ROW
        },
        Row {
            name: "has a digest beside the file that never ends",
            server: |_| unsized_body(vec![Step::Repeat(vec![b'0'; 1024], Duration::ZERO)]),
            digest: false,
            must: Untrusted("holds no SHA-256 digest"),
            ..ROW
        },
        Row {
            name: "has a digest beside the file that drips",
            server: |_| of_600_000(vec![Step::Repeat(vec![b'0'], Duration::from_millis(100))]),
            digest: false,
            must: Interrupted("the server stalls"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "has two digests beside the file, and neither is whole",
            server: |_| answer("200 OK", "", &b"ba7816bf\0".repeat(16)),
            digest: false,
            must: Untrusted("holds no SHA-256 digest"),
            ..ROW
        },
        Row {
            name: "breaks off before it says a word of the body",
            server: |_| {
                raw(vec![
                    Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n".to_vec()),
                    Step::Close,
                ])
            },
            must: Interrupted("broke off"),
            requests: 4,
            ..ROW
        },
    ]
}
