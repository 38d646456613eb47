//! Packets that are none, that a server may not send, too large, half, or acknowledge what was never sent.

use std::time::Duration;

use super::{Act, Moment, Must::*, ROW, Row, Sent, publish};

/// Sends these bytes once the device is there.
macro_rules! bytes {
    ($name:expr, $bytes:expr, $must:expr) => {
        Row { name: $name, push: || vec![Sent::Bytes($bytes.to_vec())], must: $must, ..ROW }
    };
}

/// A link that ends is told; by what words is the client's affair.
const LOST: super::Must = Return("no connection");

const TOPIC: &[u8] = b"$iothub/methods/POST/m/?$rid=odd";

pub(super) fn rows() -> Vec<Row> {
    vec![
        bytes!("packet of type 0", [0, 0], LOST),
        bytes!("packet of type 15", [0xf0, 0], LOST),
        bytes!("CONNECT", b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01d", LOST),
        bytes!("SUBSCRIBE", b"\x82\x06\0\x01\0\x01#\x01", LOST),
        bytes!("UNSUBSCRIBE", b"\xa2\x05\0\x01\0\x01#", LOST),
        bytes!("PINGREQ", [0xc0, 0], LOST),
        bytes!("PINGRESP to no PINGREQ", [0xd0, 0], Stay),
        bytes!("PINGRESP with a body", [0xd0, 1, 0], Stay),
        bytes!("DISCONNECT", [0xe0, 0], LOST),
        bytes!("PUBACK of nothing", [0x40, 2, 0x12, 0x67], LOST),
        bytes!("PUBACK of packet 0", [0x40, 2, 0, 0], LOST),
        bytes!("PUBACK too short", [0x40, 1, 0], LOST),
        bytes!("PUBREC of nothing", [0x50, 2, 0x12, 0x67], LOST),
        bytes!("PUBREL of nothing", [0x62, 2, 0x12, 0x67], Stay),
        bytes!("PUBCOMP of nothing", [0x70, 2, 0x12, 0x67], LOST),
        bytes!("SUBACK of no SUBSCRIBE", [0x90, 3, 0x12, 0x67, 1], LOST),
        bytes!("UNSUBACK of nothing", [0xb0, 2, 0x12, 0x67], LOST),
        bytes!("packet of 268 MB", [0x30, 0xff, 0xff, 0xff, 0x7f], Return("more than this device takes")),
        bytes!("packet of a length in five bytes", [0x30, 0xff, 0xff, 0xff, 0xff, 1], LOST),
        bytes!("PUBLISH whose topic is longer than it", [0x30, 4, 0xff, 0xff, b'a', b'b'], LOST),
        bytes!("PUBLISH of nothing", [0x30, 0], LOST),
        bytes!("PUBLISH without a topic", publish(0, b"", b"null"), LOST),
        bytes!("PUBLISH to a wildcard", publish(0, b"$iothub/methods/POST/#", b"null"), LOST),
        bytes!(
            "PUBLISH with NUL in its topic",
            publish(0, b"$iothub/methods/POST/m\0/?$rid=1", b"null"),
            LOST
        ),
        bytes!(
            "PUBLISH whose topic is not UTF-8",
            publish(0, b"$iothub/methods/POST/\xff\xfe/?$rid=1", b"null"),
            LOST
        ),
        bytes!("PUBLISH at QoS 3", publish(6, TOPIC, b"\0\x01null"), LOST),
        bytes!("PUBLISH at QoS 1 of packet 0", publish(2, TOPIC, b"\0\0null"), LOST),
        bytes!("PUBLISH at QoS 1 without a packet id", publish(2, TOPIC, b""), LOST),
        bytes!("PUBLISH at QoS 0, again", publish(8, TOPIC, b"null"), LOST),
        Row {
            answers: &[("odd", 200)],
            ..bytes!("PUBLISH that is retained", publish(1, TOPIC, b"null"), Stay)
        },
        Row {
            answers: &[("odd", 200)],
            ..bytes!("PUBLISH at QoS 2", publish(4, TOPIC, b"\0\x07null"), Stay)
        },
        bytes!("PUBLISH of a topic of 64 KB", publish(0, &[b'x'; 65_535], b"null"), Stay),
        bytes!("PUBLISH of 1 MiB that nobody knows", publish(0, b"x", &[0; 1 << 20]), Stay),
        bytes!("PUBLISH of 3 MiB", publish(0, b"x", &[0; 3 << 20]), Return("more than this device takes")),
        bytes!("ten thousand empty PUBLISHes", publish(0, b"x", b"").repeat(10_000), Stay),
        Row {
            name: "half a PUBLISH, and no more",
            push: || vec![Sent::Bytes(vec![0x30, 0x7f, 0, 1])],
            must: LOST,
            keep_alive: Duration::from_secs(1),
            ..ROW
        },
        Row {
            name: "no PINGRESP",
            script: |moment, acted| match moment {
                Moment::Ping if acted < 3 => Some(Act::Silence),
                _ => None,
            },
            must: LOST,
            keep_alive: Duration::from_secs(1),
            ..ROW
        },
    ]
}
