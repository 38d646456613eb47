//! Calls: of payloads that no parser likes, of odd names and request ids, too large and too many.

use hotshoe_core::method::PAYLOAD_LIMIT;

use super::{Must::*, ROW, Row, Sent, call, certain};
use crate::broker::message;

/// Calls `m` under the request id `odd` with this payload.
macro_rules! payload {
    ($name:expr, $payload:expr, $status:expr) => {
        Row {
            name: $name,
            push: || vec![Sent::Packets(vec![call("m", "odd", $payload)])],
            answers: &[("odd", $status)],
            ..ROW
        }
    };
}

/// Sends these messages.
macro_rules! messages {
    ($name:expr, $messages:expr, $answers:expr) => {
        Row { name: $name, push: || vec![Sent::Packets($messages)], answers: $answers, ..ROW }
    };
}

fn text(length: usize) -> String {
    format!("\"{}\"", "x".repeat(length - 2))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        payload!("call: 100,000 arrays in one another", "[".repeat(100_000), 400),
        payload!("call: 50,000 objects in one another", "{\"a\":".repeat(20_000), 400),
        payload!(
            "call: arrays in one another, closed",
            format!("{}{}", "[".repeat(60_000), "]".repeat(60_000)),
            400
        ),
        payload!("call: a number of 100,000 digits", "9".repeat(100_000), 400),
        payload!("call: a number that there is not", "1e999999999", 400),
        payload!("call: NaN", "NaN", 400),
        payload!("call: one key twice", "{\"a\":1,\"a\":2}", 200),
        payload!("call: half a surrogate", "\"\\ud800\"", 400),
        payload!("call: NUL as an escape", "\"\\u0000\"", 200),
        payload!("call: NUL as it is", "\"\0\"", 400),
        payload!("call: nothing", "", 200),
        payload!("call: blanks", " ".repeat(1000), 400),
        payload!("call: not UTF-8", vec![b'"', 0xff, 0xfe, b'"'], 400),
        payload!("call: a mark of the byte order", "\u{feff}null", 400),
        payload!("call: two documents", "{} {}", 400),
        payload!("call: half a document", "{\"a\":", 400),
        payload!("call: 128 KiB", text(PAYLOAD_LIMIT), 200),
        payload!("call: 128 KiB and a byte", text(PAYLOAD_LIMIT + 1), 400),
        payload!("call: 129 KiB", text(129 << 10), 400),
        payload!("call: 1 MiB", text(1 << 20), 400),
        messages!("call without a request id", vec![message("$iothub/methods/POST/m", "null")], &[]),
        messages!("call of an empty request id", vec![message("$iothub/methods/POST/m/?$rid=", "null")], &[]),
        messages!("call of no name", vec![message("$iothub/methods/POST//?$rid=odd", "null")], &[]),
        messages!(
            "call of a name with slashes",
            vec![message("$iothub/methods/POST/../../m/?$rid=odd", "null")],
            &[]
        ),
        messages!("call by another verb", vec![message("$iothub/methods/GET/m/?$rid=odd", "null")], &[]),
        Row {
            must: Stay,
            ..messages!(
                "call of a request id as long as a topic",
                vec![call("m", &"r".repeat(65_500), "null")],
                &[]
            )
        },
        messages!("call of a request id of 60,000 bytes", vec![call("m", &"r".repeat(60_000), "null")], &[]),
        messages!(
            "call of a request id like a path",
            vec![call("m", "../../x?$rid=&/", "null")],
            &[("../../x?$rid=&/", 200)]
        ),
        messages!(
            "two calls of one request id",
            vec![call("m", "odd", "null"), call("another", "odd", "null")],
            &[("odd", 200)]
        ),
        messages!(
            "a call as a redelivery of what never came",
            vec![certain("$iothub/methods/POST/m/?$rid=odd", "null", 5, true)],
            &[("odd", 200)]
        ),
        Row {
            must: Stay,
            ..messages!(
                "a thousand calls",
                (0..1000).map(|n| call("m", &format!("c{n}"), "null")).collect(),
                &[]
            )
        },
        messages!("a message on an unknown topic", vec![message("devices/dev-2/messages/events/", "x")], &[]),
        messages!(
            "messages from the cloud of odd properties",
            vec![
                message("devices/dev-1/messages/devicebound/%24.to=%00%ff&&==&a", "hello"),
                message("devices/dev-1/messages/devicebound/", vec![0xff; 70_000]),
                message("devices/dev-1/messages/devicebound/%", ""),
                certain("devices/dev-1/messages/devicebound/x=y", "again", 3, true),
            ],
            &[]
        ),
        messages!(
            "answers to a twin request that nobody made",
            vec![
                message("$iothub/twin/res/204/?$rid=never&$version=9", ""),
                message("$iothub/twin/res/abc/?$rid=1", ""),
                message("$iothub/twin/res/99999/?$rid=1", ""),
                message("$iothub/twin/res/200/?$rid=", "{}"),
                message("$iothub/twin/res/200/", "{}"),
                message("$iothub/twin/res/-1/?$version=1", "{}"),
            ],
            &[]
        ),
    ]
}
