//! Servers that cannot prove who they are, or speak no TLS: nothing is asked of them.

use super::{Face, Must::*, ROW, Row};

/// Not asked twice, and not one request.
const STRANGER: Row = Row { must: Interrupted("invalid peer certificate"), requests: 0, ..ROW };

/// Tried again, and not one request.
const NO_TLS: Row = Row { must: Interrupted("cannot fetch"), requests: 0, ..ROW };

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "has a certificate for another host",
            face: Face::Name("images.example.com"),
            ..STRANGER
        },
        Row { name: "has a certificate for a part of the name", face: Face::Name("local"), ..STRANGER },
        Row { name: "has a certificate that ended", face: Face::Expired, ..STRANGER },
        Row { name: "has a certificate that has not begun", face: Face::NotYet, ..STRANGER },
        Row { name: "has a certificate of an unknown authority", face: Face::OtherAuthority, ..STRANGER },
        Row { name: "has a certificate by itself", face: Face::SelfSigned, ..STRANGER },
        Row {
            name: "speaks plain HTTP where TLS should be",
            face: Face::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
            ..NO_TLS
        },
        Row {
            name: "speaks nothing that is known where TLS should be",
            face: Face::Raw(&[0xff; 4096]),
            ..NO_TLS
        },
        Row { name: "knows only an old TLS", face: Face::Raw(b"\x15\x03\x01\x00\x02\x02\x46"), ..NO_TLS },
        Row {
            name: "answers with a hello of TLS 1.0",
            // ServerHello, version 3.1, an all-zero random, no session, AES-128-SHA, no compression.
            face: Face::Raw(
                b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01\
                  \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00\x00\x2f\x00",
            ),
            ..NO_TLS
        },
        Row { name: "closes every connection at once", face: Face::Closed, ..NO_TLS },
        Row {
            name: "takes connections and never says a word",
            face: Face::Mute,
            must: Interrupted(""),
            ..NO_TLS
        },
    ]
}
