//! Ranges: ignored, moved, cut, of other versions, and never asked for.

use super::{Answer, Asked, HALF, Must::*, ROW, Row, SIZE, Step, TAG, answer, broken_after, honest};

/// What a range is answered with, this content range above it. Nobody else's request is.
fn ranged(asked: &Asked<'_>, content_range: &str, body: &[u8]) -> Answer {
    match (asked.ranged(), asked.number) {
        (true, _) => {
            let headers = format!("\r\nETag: {TAG}{content_range}");
            answer("206 Partial Content", &headers, body)
        }
        (false, 0) => asked.half(),
        (false, _) => asked.honest(),
    }
}

/// The bytes behind the break under this content range; the straight way takes such an answer for the last of a server.
const WRONG: Row = Row { requests: 3, straight: Some(Status(206)), ..ROW };

fn cut<const AT: usize>(asked: &Asked<'_>) -> Answer {
    if asked.number == 0 { broken_after(asked.honest(), AT) } else { asked.honest() }
}

const CUT: Row = Row { requests: 2, ..ROW };

pub(super) fn rows() -> Vec<Row> {
    [cuts(), wrong(), versions(), unasked()].into_iter().flatten().collect()
}

/// Borders of TLS records, of writes and of chunks, and their neighbours.
fn cuts() -> Vec<Row> {
    vec![
        Row { name: "breaks off at 0", server: cut::<0>, ..CUT },
        Row { name: "breaks off at 1", server: cut::<1>, ..CUT },
        Row { name: "breaks off one before a TLS record", server: cut::<16_383>, ..CUT },
        Row { name: "breaks off at a TLS record", server: cut::<16_384>, ..CUT },
        Row { name: "breaks off one behind a TLS record", server: cut::<16_385>, ..CUT },
        Row { name: "breaks off at a chunk", server: cut::<65_536>, ..CUT },
        Row { name: "breaks off half-way", server: cut::<HALF>, ..CUT },
        Row { name: "breaks off one before a chunk", server: cut::<131_071>, ..CUT },
        Row { name: "breaks off two bytes before the end", server: cut::<599_998>, ..CUT },
        Row { name: "breaks off one byte before the end", server: cut::<599_999>, ..CUT },
    ]
}

fn wrong() -> Vec<Row> {
    vec![
        Row {
            name: "ignores ranges",
            server: |asked| {
                let answer = answer("200 OK", "\r\nETag: \"1\"", asked.content);
                if asked.number == 0 { broken_after(answer, HALF) } else { answer }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "answers a range with one that begins earlier",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: bytes 100000-599999/600000", &asked.content[100_000..])
            },
            ..WRONG
        },
        Row {
            name: "answers a range with one that begins later",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: bytes 300001-599999/600000", &asked.content[HALF + 1..])
            },
            ..WRONG
        },
        Row {
            name: "answers a range with one beyond the end",
            server: |asked| {
                let body = [&asked.content[HALF..], &[0; 100]].concat();
                ranged(asked, "\r\nContent-Range: bytes 300000-600099/600000", &body)
            },
            straight: Some(Succeed),
            ..WRONG
        },
        Row {
            name: "answers a range with another total",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: bytes 300000-599999/700000", &asked.content[HALF..])
            },
            straight: Some(Size),
            ..WRONG
        },
        Row {
            name: "answers a range with one that ends before it begins",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: bytes 599999-300000/600000", &asked.content[HALF..])
            },
            ..WRONG
        },
        Row {
            name: "answers a range with numbers that there are not",
            server: |asked| {
                ranged(
                    asked,
                    "\r\nContent-Range: bytes 300000-99999999999999999999/*",
                    &asked.content[HALF..],
                )
            },
            ..WRONG
        },
        Row {
            name: "answers a range in another unit",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: pages 300000-599999/600000", &asked.content[HALF..])
            },
            ..WRONG
        },
        Row {
            name: "answers a range and does not say which",
            server: |asked| ranged(asked, "", &asked.content[HALF..]),
            ..WRONG
        },
        Row {
            name: "answers a range with several",
            server: |asked| match asked.ranged() {
                true => answer(
                    "206 Partial Content",
                    "\r\nContent-Type: multipart/byteranges; boundary=x",
                    b"--x\r\n",
                ),
                false => ranged(asked, "", b""),
            },
            ..WRONG
        },
        Row {
            name: "answers a range with another length than it says",
            server: |asked| {
                ranged(asked, "\r\nContent-Range: bytes 300000-599999/600000", &asked.content[HALF..][..100])
            },
            ..WRONG
        },
        Row {
            name: "answers every range with 416",
            server: |asked| match asked.ranged() {
                true => answer("416 Range Not Satisfiable", "\r\nContent-Range: bytes */600000", b""),
                false => ranged(asked, "", b""),
            },
            straight: Some(Status(416)),
            ..WRONG
        },
        Row {
            name: "answers every range with 304",
            server: |asked| match asked.ranged() {
                true => Answer { head: "HTTP/1.1 304 Not Modified".into(), steps: vec![] },
                false => ranged(asked, "", b""),
            },
            must: Status(304),
            requests: 4,
            straight: Some(Status(304)),
            ..WRONG
        },
        Row {
            name: "sends a rest that ends too early, again and again",
            server: |asked| match asked.request.header("range") {
                None => asked.half(),
                Some(range) => {
                    let start: usize = range["bytes=".len()..].split('-').next().unwrap().parse().unwrap();
                    let end = (start + 100_000).min(SIZE);
                    let headers = format!("\r\nContent-Range: bytes {start}-{}/600000", end - 1);
                    answer("206 Partial Content", &headers, &asked.content[start..end])
                }
            },
            requests: 4,
            ..ROW
        },
        Row {
            name: "sends a wrong rest of the right length",
            server: |asked| ranged(asked, "\r\nContent-Range: bytes 300000-599999/600000", &[0; HALF]),
            straight: Some(Digest),
            ..WRONG
        },
    ]
}

fn versions() -> Vec<Row> {
    vec![
        Row {
            name: "has no name for the version, so the rest cannot be asked for",
            server: |asked| {
                let answer = answer("200 OK", "\r\nETag: W/\"1\"", asked.content);
                if asked.number == 0 { broken_after(answer, HALF) } else { answer }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "knows a date only",
            server: |asked| {
                let date = "Sun, 22 Nov 2026 10:00:00 GMT";
                let dated = format!("\r\nLast-Modified: {date}");
                if asked.number == 0 {
                    return broken_after(answer("200 OK", &dated, asked.content), HALF);
                }
                assert_eq!(
                    (asked.request.header("if-range"), asked.request.header("range")),
                    (Some(date), Some("bytes=300000-"))
                );
                let headers = format!("{dated}\r\nContent-Range: bytes 300000-599999/600000");
                answer("206 Partial Content", &headers, &asked.content[HALF..])
            },
            requests: 2,
            straight: Some(Succeed),
            ..ROW
        },
        Row {
            name: "has another date after the break, and the rest of another file",
            server: |asked| match (asked.ranged(), asked.number) {
                (false, 0) => {
                    let dated = "\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT";
                    broken_after(answer("200 OK", dated, asked.content), HALF)
                }
                (false, _) => asked.honest(),
                (true, _) => {
                    let dated = "\r\nLast-Modified: Mon, 23 Nov 2026 10:00:00 GMT";
                    let headers = format!("{dated}\r\nContent-Range: bytes 300000-599999/600000");
                    answer("206 Partial Content", &headers, &[0; HALF])
                }
            },
            requests: 3,
            straight: Some(Digest),
            ..ROW
        },
        Row {
            name: "has another file after the break",
            server: |asked| match asked.number {
                0 => broken_after(honest(asked.request, &[0; SIZE], "\"old\""), HALF),
                _ => asked.honest(),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "has another entity tag after the break, and the rest of another file",
            server: |asked| match asked.ranged() {
                true => {
                    let headers = "\r\nETag: \"2\"\r\nContent-Range: bytes 300000-599999/600000";
                    answer("206 Partial Content", headers, &[0; HALF])
                }
                false => ranged(asked, "", b""),
            },
            requests: 3,
            straight: Some(Digest),
            ..ROW
        },
        Row {
            name: "has a weak entity tag after the break",
            server: |asked| match asked.ranged() {
                true => {
                    let headers = "\r\nETag: W/\"1\"\r\nContent-Range: bytes 300000-599999/600000";
                    answer("206 Partial Content", headers, &asked.content[HALF..])
                }
                false => ranged(asked, "", b""),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "has another file after the break and does not say so: fetched all again",
            server: |asked| match asked.number {
                0 => broken_after(honest(asked.request, &[0; SIZE], TAG), HALF),
                _ => asked.honest(),
            },
            requests: 3,
            straight: Some(Digest),
            ..ROW
        },
        Row {
            name: "has a longer file after the break",
            server: |asked| match asked.number {
                0 => asked.half(),
                _ => honest(asked.request, &[asked.content, b"more"].concat(), "\"2\""),
            },
            must: Digest,
            requests: 2,
            straight: Some(Size),
            ..ROW
        },
    ]
}

fn unasked() -> Vec<Row> {
    vec![
        Row {
            name: "sends a range nobody asked for",
            server: |asked| {
                answer(
                    "206 Partial Content",
                    "\r\nContent-Range: bytes 300000-599999/600000",
                    &asked.content[HALF..],
                )
            },
            must: Status(206),
            requests: 4,
            ..ROW
        },
        Row {
            name: "sends the whole as a range nobody asked for",
            server: |asked| {
                answer("206 Partial Content", "\r\nContent-Range: bytes 0-599999/600000", asked.content)
            },
            ..ROW
        },
        Row {
            name: "sends the beginning as a range nobody asked for",
            server: |asked| {
                answer(
                    "206 Partial Content",
                    "\r\nContent-Range: bytes 0-299999/600000",
                    &asked.content[..HALF],
                )
            },
            must: Status(206),
            requests: 4,
            straight: Some(Status(206)),
            ..ROW
        },
        Row {
            name: "says 416 to the first request",
            server: |_| answer("416 Range Not Satisfiable", "\r\nContent-Range: bytes */0", b""),
            must: Status(416),
            ..ROW
        },
        Row {
            name: "stalls in the rest",
            server: |asked| match asked.ranged() {
                true => Answer { steps: vec![Step::Stall], ..asked.honest() },
                false => asked.half(),
            },
            must: Interrupted("stalls"),
            requests: 4,
            ..ROW
        },
    ]
}
