//! Redirects: round and round, out of HTTPS, to whom no grant names, and into the device.

use super::{Answer, Must::*, ROW, Row, Step, answer};

fn to(place: &str) -> Answer {
    answer("302 Found", &format!("\r\nLocation: {place}\r\nSet-Cookie: a=b"), b"elsewhere")
}

/// The path is where it leads; what comes back there is the image.
const ELSEWHERE: Row = Row { must: Denied("leads elsewhere"), ..ROW };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "redirects in a circle",
            server: |_| to("/a.img"),
            must: Denied("more than 3 redirects"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "redirects thirty times, each time elsewhere",
            server: |asked| {
                if asked.number < 30 { to(&format!("/{}", asked.number)) } else { asked.honest() }
            },
            must: Denied("more than 3 redirects"),
            requests: 4,
            ..ROW
        },
        Row {
            name: "redirects three times, relative to where it is",
            server: |asked| match asked.request.path.as_str() {
                "/a.img" => to("/b/c"),
                "/b/c" => to("../d?x=1#y"),
                "/d?x=1" => answer("308 Permanent Redirect", "\r\nLocation: ?last", b""),
                _ => asked.honest(),
            },
            requests: 4,
            ..ROW
        },
        Row {
            name: "redirects without carrying a thing",
            server: |asked| match asked.request.path.as_str() {
                "/a.img" => to("/b.img"),
                _ => {
                    for header in ["cookie", "referer", "authorization"] {
                        assert_eq!(asked.request.header(header), None);
                    }
                    asked.honest()
                }
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "redirects to plain HTTP",
            server: |asked| to(&format!("http://localhost:{}/a.img", asked.stranger)),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to another server",
            server: |asked| to(&format!("https://localhost:{}/a.img", asked.stranger)),
            must: Denied("is not granted"),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to another server without saying how",
            server: |asked| to(&format!("//localhost:{}/a.img", asked.stranger)),
            must: Denied("is not granted"),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to another server by back slashes",
            server: |asked| to(&format!("\\\\localhost:{}\\a.img", asked.stranger)),
            must: Denied("is not granted"),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to a private address",
            server: |_| to("https://169.254.169.254/latest/meta-data"),
            must: Denied("is not granted"),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to an address that is one number",
            server: |asked| to(&format!("https://2130706433:{}/", asked.stranger)),
            must: Denied("is not granted"),
            ..ELSEWHERE
        },
        Row {
            name: "redirects to a user with a password",
            server: |asked| to(&format!("https://user:secret@localhost:{}/a.img", asked.stranger)),
            must: Denied("holds a user name or password"),
            ..ELSEWHERE
        },
        Row { name: "redirects to a file", server: |_| to("file:///etc/passwd"), ..ELSEWHERE },
        Row { name: "redirects to a data URL", server: |_| to("data:text/plain,evil"), ..ELSEWHERE },
        Row { name: "redirects to FTP", server: |_| to("ftp://localhost/a.img"), ..ELSEWHERE },
        Row {
            name: "redirects to nowhere",
            server: |_| answer("302 Found", "", b""),
            must: Status(302),
            ..ROW
        },
        Row {
            name: "redirects to what is no URL",
            server: |_| to("https://[::x/"),
            must: Status(302),
            ..ROW
        },
        Row {
            name: "redirects to two places",
            server: |asked| match asked.request.path.as_str() {
                "/a.img" => answer(
                    "307 Temporary Redirect",
                    "\r\nLocation: /b.img\r\nLocation: file:///etc/passwd",
                    b"",
                ),
                _ => asked.honest(),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "redirects with a body that never ends",
            server: |asked| match asked.request.path.as_str() {
                "/a.img" => Answer {
                    head: "HTTP/1.1 302 Found\r\nLocation: /b.img\r\nTransfer-Encoding: chunked".into(),
                    steps: vec![Step::Endless],
                },
                _ => asked.honest(),
            },
            requests: 2,
            ..ROW
        },
        Row {
            name: "redirects for ever by what stands beside the image",
            server: |_| to("/a.img.sha256"),
            digest: false,
            must: Denied("more than 3 redirects"),
            requests: 4,
            ..ROW
        },
    ]
}
