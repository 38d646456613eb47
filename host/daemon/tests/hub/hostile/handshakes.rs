//! CONNACK and SUBACK, wrong in each way, and links that end at each step.

use rumqttc::ConnectReturnCode;

use super::{Act, Moment, Must::*, ROW, Row, SHORT};

/// The first two CONNECTs are met with these bytes.
macro_rules! connack {
    ($name:expr, $bytes:expr, $must:expr) => {
        Row {
            name: $name,
            script: |moment, acted| match moment {
                Moment::Connect(_) if acted < 2 => Some(Act::Bytes($bytes.to_vec())),
                _ => None,
            },
            must: $must,
            ..ROW
        }
    };
}

/// The first two moments of this kind are met with this.
macro_rules! at {
    ($name:expr, $moment:pat, $act:expr, $must:expr) => {
        Row {
            name: $name,
            script: |moment, acted| match moment {
                $moment if acted < 2 => Some($act),
                _ => None,
            },
            must: $must,
            patience: SHORT,
            ..ROW
        }
    };
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        ROW.named("serves as it should"),
        at!(
            "CONNACK 1",
            Moment::Connect(_),
            Act::Refuse(ConnectReturnCode::RefusedProtocolVersion),
            Return("RefusedProtocolVersion")
        ),
        at!(
            "CONNACK 2",
            Moment::Connect(_),
            Act::Refuse(ConnectReturnCode::BadClientId),
            Return("BadClientId")
        ),
        at!(
            "CONNACK 3",
            Moment::Connect(_),
            Act::Refuse(ConnectReturnCode::ServiceUnavailable),
            Return("ServiceUnavailable")
        ),
        at!(
            "CONNACK 4",
            Moment::Connect(_),
            Act::Refuse(ConnectReturnCode::BadUserNamePassword),
            Return("CONNACK 4")
        ),
        at!(
            "CONNACK 5",
            Moment::Connect(_),
            Act::Refuse(ConnectReturnCode::NotAuthorized),
            Return("CONNACK 5")
        ),
        connack!("CONNACK 6, which there is not", [0x20, 2, 0, 6], Return("no connection")),
        connack!("CONNACK 255", [0x20, 2, 0, 255], Return("no connection")),
        connack!("CONNACK with reserved flags", [0x20, 2, 0xfe, 0], Return("no connection")),
        connack!("CONNACK too short", [0x20, 1, 0], Return("no connection")),
        connack!("CONNACK too long", [0x20, 3, 0, 0, 0], Return("no connection")),
        connack!("CONNACK of no session where there was one", [0x20, 2, 0, 0], Stay),
        connack!("CONNACK of a session that never was", [0x20, 2, 1, 0], Stay),
        connack!("CONNACK twice", [0x20, 2, 0, 0, 0x20, 2, 0, 0], Return("no connection")),
        connack!("SUBACK before CONNACK", [0x90, 3, 0, 1, 1], Return("Expected ConnAck")),
        connack!("PUBLISH before CONNACK", [0x30, 5, 0, 1, b'a', b'h', b'i'], Return("Expected ConnAck")),
        connack!("PINGRESP before CONNACK", [0xd0, 0], Return("Expected ConnAck")),
        connack!("HTTP in place of CONNACK", b"HTTP/1.1 400 Bad Request\r\n\r\n", Return("no connection")),
        at!("half a CONNACK and no more", Moment::Connect(_), Act::Bytes(vec![0x20, 2]), Return("imeout")),
        at!(
            "half a CONNACK and the end",
            Moment::Connect(_),
            Act::BytesThenCut(vec![0x20, 2, 0]),
            Return("no connection")
        ),
        at!("no CONNACK", Moment::Connect(_), Act::Silence, Return("imeout")),
        at!("the end at CONNECT", Moment::Connect(_), Act::Cut, Return("no connection")),
        at!(
            "the end behind CONNACK",
            Moment::Connect(_),
            Act::BytesThenCut(vec![0x20, 2, 0, 0]),
            Return("no connection")
        ),
        at!(
            "DISCONNECT in place of CONNACK",
            Moment::Connect(_),
            Act::Bytes(vec![0xe0, 0]),
            Return("no connection")
        ),
        at!("SUBACK of failures", Moment::Subscribe, Act::RefuseFilters, Return("refused a subscription")),
        at!(
            "SUBACK of too few",
            Moment::Subscribe,
            Act::Bytes(vec![0x90, 3, 0, 1, 1]),
            Return("SUBACK return code count")
        ),
        at!(
            "SUBACK of too many",
            Moment::Subscribe,
            Act::Bytes(vec![0x90, 6, 0, 1, 1, 1, 1, 1]),
            Return("SUBACK return code count")
        ),
        at!(
            "SUBACK of one failure in three",
            Moment::Subscribe,
            Act::Bytes(vec![0x90, 5, 0, 1, 1, 0x80, 1]),
            Return("refused a subscription")
        ),
        at!(
            "SUBACK of codes that there are not",
            Moment::Subscribe,
            Act::Bytes(vec![0x90, 5, 0, 1, 3, 4, 5]),
            Return("no connection")
        ),
        at!("SUBACK of nothing", Moment::Subscribe, Act::Bytes(vec![0x90, 2, 0, 1]), Return("no connection")),
        at!(
            "SUBACK of another packet",
            Moment::Subscribe,
            Act::Bytes(vec![0x90, 5, 0x12, 0x67, 1, 1, 1]),
            Return("no connection")
        ),
        at!("no SUBACK", Moment::Subscribe, Act::Silence, Return("did not answer SUBSCRIBE")),
        at!("the end at SUBSCRIBE", Moment::Subscribe, Act::Cut, Return("no connection")),
        at!("the end behind SUBACK", Moment::Subscribe, Act::ServeThenCut, Return("no connection")),
        at!("the end at the first GET", Moment::TwinGet, Act::Cut, Return("no connection")),
        at!("the end behind the first GET", Moment::TwinGet, Act::ServeThenCut, Return("no connection")),
        at!("the end at a PATCH", Moment::TwinPatch(_), Act::Cut, Return("no connection")),
        at!("the end behind a PATCH", Moment::TwinPatch(_), Act::ServeThenCut, Return("no connection")),
        Row {
            name: "flaps, twenty times",
            script: |moment, acted| match moment {
                Moment::TwinGet if acted < 20 => Some(Act::Cut),
                _ => None,
            },
            must: Return("no connection"),
            ..ROW
        },
        Row {
            name: "the end at a method's answer",
            script: |moment, acted| match moment {
                Moment::MethodAnswer if acted < 1 => Some(Act::Silence),
                _ => None,
            },
            push: || vec![super::Sent::Packets(vec![super::call("m", "unacknowledged", "null")])],
            ..ROW
        },
    ]
}

impl Row {
    fn named(self, name: &'static str) -> Row {
        Row { name, ..self }
    }
}
