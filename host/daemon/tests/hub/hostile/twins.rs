//! Twins: refused, of no shape, far beyond every limit, of versions that go back, and never there.

use std::time::Duration;

use serde_json::json;

use super::{Act, Moment, Must::*, ROW, Row, SHORT, Sent};
use crate::broker::message;

/// For rows in which the third answer comes.
const LONGER: Duration = Duration::from_secs(2);

/// The first GET is answered with this.
macro_rules! get {
    ($name:expr, $status:expr, $body:expr) => {
        Row {
            name: $name,
            script: |moment, acted| match moment {
                Moment::TwinGet if acted < 1 => Some(Act::Body($status, Vec::from($body))),
                _ => None,
            },
            ..ROW
        }
    };
}

/// The first three patches are answered with this.
macro_rules! patch {
    ($name:expr, $act:expr, $must:expr) => {
        Row {
            name: $name,
            script: |moment, acted| match moment {
                Moment::TwinPatch(_) if acted < 2 => Some($act),
                _ => None,
            },
            must: $must,
            ..ROW
        }
    };
}

/// These changes of the desired properties are pushed, each as topic and body.
macro_rules! pushed {
    ($name:expr, $(($topic:expr, $body:expr)),+) => {
        Row {
            name: $name,
            push: || vec![Sent::Packets(vec![$(message(&format!("$iothub/twin/PATCH/properties/desired/{}", $topic), $body)),+])],
            ..ROW
        }
    };
}

fn desired(value: &serde_json::Value) -> String {
    json!({"desired": value, "reported": {"$version": 1}}).to_string()
}

pub(super) fn rows() -> Vec<Row> {
    [gets(), patches(), pushes()].into_iter().flatten().collect()
}

fn gets() -> Vec<Row> {
    vec![
        get!("GET: 401", 401, "{\"message\":\"no\"}"),
        get!("GET: 404", 404, ""),
        get!("GET: 429", 429, "{\"errorCode\":429001,\"retryAfter\":99999999999}"),
        get!("GET: 500", 500, vec![0xff; 1000]),
        get!("GET: 999", 999, "?"),
        get!("GET: 302", 302, "elsewhere"),
        get!("GET: 0", 0, ""),
        get!("GET: nothing", 200, ""),
        get!("GET: not JSON", 200, "<html>"),
        get!("GET: not UTF-8", 200, vec![0xff, 0xfe]),
        get!("GET: an array", 200, "[]"),
        get!("GET: a number", 200, "7"),
        get!("GET: no members", 200, "{}"),
        get!("GET: desired is null", 200, "{\"desired\":null,\"reported\":null}"),
        get!("GET: desired is an array", 200, "{\"desired\":[1],\"reported\":[2]}"),
        get!("GET: desired is deep", 200, format!("{{\"desired\":{}", "{\"a\":".repeat(100_000))),
        get!(
            "GET: reported is deep",
            200,
            format!("{{\"desired\":{{}},\"reported\":{}", "[".repeat(100_000))
        ),
        get!("GET: no version", 200, desired(&json!({"a": 1}))),
        get!("GET: the version is a text", 200, desired(&json!({"$version": "1"}))),
        get!("GET: the version is negative", 200, desired(&json!({"$version": -1}))),
        get!("GET: the version is the last there is", 200, desired(&json!({"$version": u64::MAX}))),
        get!("GET: the version is half", 200, desired(&json!({"$version": 1.5}))),
        get!(
            "GET: keys of dots, dollars and controls",
            200,
            desired(&json!({"a.b": 1, "$x": 2, "\u{1}": 3, "": 4, "a b": 5}))
        ),
        get!("GET: far beyond every limit", 200, desired(&json!({"a": "x".repeat(1 << 20)}))),
        get!("GET: 8 KiB of a text", 200, desired(&json!({"a": "x".repeat(8 << 10)}))),
        get!(
            "GET: ten thousand keys",
            200,
            desired(&(0..10_000).map(|n| (format!("k{n}"), json!(n))).collect())
        ),
        Row {
            must: Return("more than this device takes"),
            ..get!(
                "GET: beyond what fits in memory's share",
                200,
                desired(&json!({"a": "x".repeat(3 << 20)}))
            )
        },
        Row {
            name: "GET: under another request id",
            script: |moment, acted| match moment {
                Moment::TwinGet if acted < 2 => Some(Act::OtherId),
                _ => None,
            },
            patience: LONGER,
            ..ROW
        },
        Row {
            name: "GET: never",
            script: |moment, acted| match moment {
                Moment::TwinGet if acted < 3 => Some(Act::Silence),
                _ => None,
            },
            patience: SHORT,
            must: Return("did not answer a twin GET"),
            ..ROW
        },
    ]
}

fn patches() -> Vec<Row> {
    vec![
        patch!("PATCH: 401", Act::Status(401), Stay),
        patch!("PATCH: 408", Act::Status(408), Stay),
        patch!("PATCH: 412", Act::Status(412), Stay),
        patch!("PATCH: 429 with a wait of an age", Act::Body(429, b"{\"retryAfter\":1e300}".to_vec()), Stay),
        patch!("PATCH: 500", Act::Body(500, vec![0xff; 100_000]), Stay),
        patch!("PATCH: 503", Act::Status(503), Stay),
        patch!("PATCH: 0", Act::Body(0, Vec::new()), Stay),
        patch!("PATCH: 302", Act::Body(302, b"elsewhere".to_vec()), Stay),
        Row { patience: LONGER, ..patch!("PATCH: under another request id", Act::OtherId, Stay) },
        Row {
            name: "PATCH: never",
            script: |moment, acted| match moment {
                Moment::TwinPatch(_) if acted < 3 => Some(Act::Silence),
                _ => None,
            },
            patience: SHORT,
            must: Return("did not answer a twin PATCH"),
            ..ROW
        },
    ]
}

fn pushes() -> Vec<Row> {
    vec![
        pushed!(
            "desired: versions backwards",
            ("?$version=9", "{\"a\":1}"),
            ("?$version=3", "{\"a\":2}"),
            ("?$version=0", "{}")
        ),
        pushed!(
            "desired: a gap",
            ("?$version=18446744073709551615", "{\"a\":1,\"$version\":18446744073709551615}")
        ),
        pushed!("desired: no version", ("", "{\"a\":1}")),
        pushed!("desired: a version that is none", ("?$version=x", "{\"$version\":\"2\"}")),
        pushed!("desired: two versions", ("?$version=2&$version=3", "{\"$version\":4}")),
        pushed!("desired: null", ("?$version=2", "null")),
        pushed!("desired: an array", ("?$version=2", "[1]")),
        pushed!("desired: nothing", ("?$version=2", "")),
        pushed!("desired: not JSON", ("?$version=2", vec![0xff; 10_000])),
        pushed!("desired: deep", ("?$version=2", "{\"a\":".repeat(100_000))),
        pushed!("desired: 1 MiB", ("?$version=2", json!({"a": "x".repeat(1 << 20)}).to_string())),
        pushed!(
            "desired: members of the hub's own",
            ("?$version=2", "{\"$metadata\":{\"$x\":[]},\"$version\":2,\"hotshoe.plugins\":7}")
        ),
        Row {
            name: "desired: five thousand at once",
            push: || {
                let change =
                    |n: u64| message(&hotshoe_core::topic::desired_patch(n), format!("{{\"a\":{n}}}"));
                vec![Sent::Packets((2..5002).map(change).collect())]
            },
            ..ROW
        },
    ]
}
