//! Hubs that cannot prove who they are: they never see a token.

use super::{Face, Must::Return, ROW, Row};

pub(super) fn rows() -> Vec<Row> {
    let of = |name, face, words| Row { name, face, must: Return(words), ..ROW };
    vec![
        of("TLS: another host's certificate", Face::Name("hub.example.com"), "not valid for name"),
        of("TLS: a certificate that ended", Face::Expired, "certificate expired"),
        of("TLS: a certificate that has not begun", Face::NotYet, "certificate not valid yet"),
        of("TLS: an unknown authority", Face::OtherAuthority, "invalid peer certificate"),
        of("TLS: a certificate by itself", Face::SelfSigned, "invalid peer certificate"),
        of("TLS: none", Face::Raw(&[0x20, 2, 0, 0]), "no connection to the hub"),
        of("TLS: rubbish", Face::Raw(&[0xff; 512]), "no connection to the hub"),
        of("TLS: an old one", Face::Raw(b"\x15\x03\x01\x00\x02\x02\x46"), "ProtocolVersion"),
        of("TLS: closed at once", Face::Closed, "no connection to the hub"),
        of("TLS: not a word", Face::Mute, "imeout"),
    ]
}
