//! What a plugin asks of the host that it should not get (A3, A7, A12 and B): the plugin `zoo` in Rust, and what it is
//! told to do.

use hotshoe_core::package;
use serde_json::{Value, json};

use super::members::{End, Trial};
use super::stage::guest;

/// The digest of nothing in particular.
pub(crate) const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn asked(method: &'static str, payload: Value, end: End) -> Trial {
    Trial { plugin: guest("zoo"), method, payload, end, log: &[] }
}

fn tried(calls: Value, is_right: fn(&Value) -> bool, log: &'static [&'static str]) -> Trial {
    Trial { log, ..asked("try", calls, End::Answers(is_right)) }
}

/// Tried by a job, which may do more than a method.
fn run(calls: Value, is_right: fn(&Value) -> bool, log: &'static [&'static str]) -> Trial {
    Trial { log, ..asked(JOB, calls, End::Answers(is_right)) }
}

/// Not a method's name: it is run as a job.
pub(crate) const JOB: &str = "a job";

/// Whether each call was refused each time.
fn all_refused(answer: &Value) -> bool {
    let calls = answer.as_array().unwrap();
    !calls.is_empty() && calls.iter().all(|call| call["refused"] == call["times"])
}

fn last(answer: &Value) -> &str {
    answer.as_array().unwrap().last().unwrap()["last"].as_str().unwrap()
}

// A1, A3, A7, A12.

pub(crate) fn asks_for_ever() -> Trial {
    asked("askForEver", json!({ "call": "device.uptime" }), End::TimedOut)
}

pub(crate) fn hoards() -> Trial {
    asked("hoard", Value::Null, End::Trapped("trapped"))
}

pub(crate) fn exits() -> Trial {
    asked("exit", json!(1), End::Trapped("exited with status 1"))
}

pub(crate) fn panics_at_length() -> Trial {
    Trial { log: &["xxxxxxxx"], ..asked("panic", json!(4_000_000), End::Trapped("trapped")) }
}

pub(crate) fn answers_no_json() -> Trial {
    asked("answer", json!({ "text": "{ this is no JSON" }), End::Trapped("is not JSON"))
}

pub(crate) fn answers_deeply() -> Trial {
    asked("answer", json!({ "depth": 100_000 }), End::Trapped("is not JSON"))
}

pub(crate) fn answers_at_length() -> Trial {
    asked("answer", json!({ "size": 200_000 }), End::Trapped("the limit is"))
}

pub(crate) fn announces_no_kind() -> Trial {
    asked("announce", json!({ "kind": "../jobs/1" }), End::Trapped("kind"))
}

pub(crate) fn announces_much() -> Trial {
    asked("announce", json!({ "size": 200_000 }), End::Trapped("the limit is"))
}

pub(crate) fn hands_over_much() -> Trial {
    asked("try", json!([{ "call": "log.write", "size": 2_000_000 }]), End::Trapped("fuel"))
}

pub(crate) fn reads_clocks() -> Trial {
    let coarse = |answer: &Value| {
        ["monotonic", "wall", "uptime"]
            .iter()
            .all(|clock| answer[clock].as_u64().unwrap().is_multiple_of(1_000_000))
    };
    asked("clocks", Value::Null, End::Answers(coarse))
}

// B1: waiting.

pub(crate) fn sleeps() -> Trial {
    asked("sleep", Value::Null, End::TimedOut)
}

pub(crate) fn waits_for_the_hub() -> Trial {
    asked("askForEver", json!({ "call": "report.flush", "milliseconds": 3_600_000 }), End::TimedOut)
}

// B3: the log.

pub(crate) fn floods_the_log() -> Trial {
    let calls = json!([
        { "call": "report.patch", "text": "{\"zoo\": 3}" },
        { "call": "log.write", "text": "a flood", "times": 500 },
        // A pause, after which a line is written again.
        { "call": "report.flush", "milliseconds": 200 },
        { "call": "log.write", "text": "and one more" },
    ]);
    tried(calls, |_| true, &["log lines over the plugin's rate were dropped"])
}

pub(crate) fn forges_lines() -> Trial {
    let text = "mine\r\nERROR hotshoed: forged\u{1b}[2J\u{202e}\0";
    let log = &["mine\\r\\nERROR hotshoed: forged\\u{1b}[2J\\u{202e}\\u{0}"];
    tried(json!([{ "call": "log.write", "text": text }]), |_| true, log)
}

pub(crate) fn writes_a_long_line() -> Trial {
    tried(json!([{ "call": "log.write", "size": 900_000 }]), |_| true, &["xxxx…"])
}

pub(crate) fn writes_empty_fields() -> Trial {
    tried(
        json!([{ "call": "log.write", "text": "fields", "fields": 15_000, "field": "" }]),
        |_| true,
        &["fields"],
    )
}

pub(crate) fn prints() -> Trial {
    Trial {
        log: &["\\u{1b}[31m\\rERROR forged"],
        ..asked("print", json!(3000), End::Answers(Value::is_null))
    }
}

// B4: what is the device's.

pub(crate) fn fills_its_store() -> Trial {
    let log = &["storage.set was refused", "Full(65536)"];
    tried(json!([{ "call": "storage.set", "key": "all", "size": 70_000 }]), all_refused, log)
}

pub(crate) fn has_many_keys() -> Trial {
    let one_too_many = |answer: &Value| last(answer).contains("Full") && answer[0]["refused"] == json!(4);
    let calls = json!([{ "call": "storage.set", "numbered": "key-", "times": 260 }]);
    tried(calls, one_too_many, &["storage.set was refused"])
}

pub(crate) fn writes_for_ever() -> Trial {
    // 256 at once and 10 a second; each alone could be hundreds a second.
    let slowed = |answer: &Value| answer["times"].as_u64().unwrap() <= 300;
    let storm = json!({ "call": "storage.set", "key": "again", "text": "and again", "milliseconds": 1500 });
    asked("storm", storm, End::Answers(slowed))
}

pub(crate) fn saves_for_ever() -> Trial {
    let slowed = |answer: &Value| answer[0]["refused"] == json!(0) && answer[1]["refused"] == json!(1);
    let calls =
        json!([{ "call": "job.save", "size": 100, "times": 20 }, { "call": "job.save", "size": 20_000 }]);
    run(calls, slowed, &["job.save was refused", "TooLarge(16384)"])
}

pub(crate) fn reports_for_ever() -> Trial {
    let slowed = |answer: &Value| answer["times"].as_u64().unwrap() <= 120;
    let storm = json!({ "call": "report.patch", "text": "{\"zoo\": {\"again\": 1}}", "milliseconds": 1500 });
    asked("storm", storm, End::Answers(slowed))
}

pub(crate) fn fills_the_twin() -> Trial {
    let part = |key: &str| json!({ "zoo": { key: "x".repeat(4000) } }).to_string();
    let calls: Vec<Value> = ["a", "b", "c"]
        .map(|key| json!({ "call": "report.patch", "text": part(key) }))
        .into_iter()
        .chain([json!({ "call": "report.patch", "text": "{\"zoo\": null}" })])
        .collect();
    let third = |answer: &Value| {
        let refused: Vec<u64> =
            answer.as_array().unwrap().iter().map(|call| call["refused"].as_u64().unwrap()).collect();
        refused == [0, 0, 1, 0]
    };
    tried(json!(calls), third, &["report.patch was refused", "TooLarge", "8192"])
}

pub(crate) fn reports_what_is_no_patch() -> Trial {
    let deep = format!("{{\"zoo\": {}1{}}}", "{\"a\":".repeat(60), "}".repeat(60));
    let texts = [
        "",
        "{",
        "[1]",
        "null",
        "{\"zoo\": 1e999}",
        "{\"zoo\": {\"$a\": 1}}",
        "{\"zoo\": {\"a.b\": 1}}",
        &deep,
    ];
    let deepest = "[".repeat(500_000);
    let calls: Vec<Value> = texts
        .into_iter()
        .chain([deepest.as_str()])
        .map(|text| json!({ "call": "report.patch", "text": text }))
        .collect();
    tried(json!(calls), all_refused, &["report.patch was refused"])
}

pub(crate) fn fills_the_queue() -> Trial {
    let calls = json!([{ "call": "telemetry.send", "text": "{\"a\": 1}", "times": 300 }]);
    tried(calls, |answer| last(answer).contains("Full"), &["telemetry.send was refused"])
}

pub(crate) fn sends_too_much() -> Trial {
    let calls = json!([
        { "call": "telemetry.send", "text": format!("\"{}\"", "x".repeat(300_000)) },
        { "call": "telemetry.send", "text": "1", "fields": 65, "field": "many" },
        { "call": "telemetry.send", "text": "not JSON" },
    ]);
    tried(calls, all_refused, &["telemetry.send was refused"])
}

pub(crate) fn speaks_as_the_host() -> Trial {
    let calls = json!([
        { "call": "telemetry.send", "text": "1", "fields": 1, "field": "$.cid" },
        { "call": "telemetry.send", "text": "1", "fields": 1, "field": "" },
    ]);
    tried(calls, all_refused, &["telemetry.send was refused", "$.cid"])
}

/// The plugin under the name for which the policy has small quotas.
pub(crate) fn wearer() -> Vec<u8> {
    let plugin = guest("zoo");
    let (_, manifest) = package::read(&plugin).unwrap();
    package::embed(&plugin, &manifest.replace("zoo.abuser", "zoo.wearer"))
}

/// How many calls were not refused.
fn let_through(answer: &Value) -> usize {
    let calls = answer.as_array().unwrap();
    calls.iter().filter(|call| call["refused"] == json!(0)).count()
}

pub(crate) fn wears_flash_out() -> Trial {
    // Each another image, so that each begins at the start of the slot. 256 KiB are 65 of them, and the one that goes over.
    let image = |number: usize| json!({ "call": "flash.staging.append", "slot": "b", "digest": format!("sha256:{number:064x}"), "size": 4000 });
    let calls: Vec<Value> = (0..80).map(image).collect();
    let stopped = |answer: &Value| let_through(answer) <= 66 && last(answer).contains("Busy");
    let log = &["flash.staging.append was refused", "quota of 256KiB a day; it may again in"];
    Trial { plugin: wearer(), ..run(json!(calls), stopped, log) }
}

pub(crate) fn downloads_for_ever() -> Trial {
    let file = |number: usize| json!({ "call": "download.fetch", "url": format!("https://localhost:{{port}}/images/{number}") });
    let calls: Vec<Value> = (0..12).map(file).collect();
    let stopped = |answer: &Value| let_through(answer) <= 5 && last(answer).contains("Interrupted");
    let log = &["download.fetch was refused", "quota of 256KiB a day; it may again in"];
    Trial { plugin: wearer(), ..tried(json!(calls), stopped, log) }
}

// B5: paths.

pub(crate) fn keys_that_are_paths() -> Trial {
    let keys = [
        "../x",
        "/etc/passwd",
        "a/b",
        "a\0b",
        "",
        "x/",
        " ",
        "ü",
        "..\\x",
        &"k".repeat(65),
        "%2e%2e%2f",
        "a\nb",
    ];
    let calls: Vec<Value> = keys
        .iter()
        .flat_map(|key| {
            ["storage.set", "storage.get", "storage.delete"]
                .map(|call| json!({ "call": call, "key": key, "text": "x" }))
        })
        .collect();
    tried(json!(calls), all_refused, &["InvalidKey"])
}

pub(crate) fn looks_outside() -> Trial {
    let nothing = |answer: &Value| {
        answer["opened"] == json!(0) && answer["variables"] == json!(0) && answer["arguments"] == json!(0)
    };
    asked("outside", Value::Null, End::Answers(nothing))
}

pub(crate) fn slots_that_are_paths() -> Trial {
    let slots = ["../a", "/dev/sda", "b/../a", "a.img", "", "b\0", "A"];
    let calls: Vec<Value> = slots
        .iter()
        .flat_map(|slot| {
            ["flash.staging.open", "flash.activate"]
                .map(|call| json!({ "call": call, "slot": slot, "digest": DIGEST }))
        })
        .collect();
    run(json!(calls), all_refused, &["flash.staging.open was refused", "flash.activate was refused"])
}

// B6: the network.

pub(crate) fn fetches_from_anywhere() -> Trial {
    let urls = [
        "https://elsewhere.example.com/x",
        "http://images.example.com/x",
        "file:///etc/passwd",
        "ftp://images.example.com/x",
        "data:text/plain,x",
        "https://images.example.com@evil.example.com/x",
        "https://evil.example.com#@images.example.com/",
        "https://images.example.com.evil.example.com/x",
        "https://images.example.com:8443/x",
        "https://user:secret@images.example.com:22/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://0177.0.0.1/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/machine",
        "https://10.0.0.1/x",
        "https://localhost/x",
        "https:///x",
        "//images.example.com/x",
        "nonsense",
        "",
        "https://images.example.com\\@evil.example.com/x",
    ];
    let calls: Vec<Value> = urls
        .iter()
        .flat_map(|url| {
            ["download.fetch", "download.resolve"].map(|call| json!({ "call": call, "url": url, "firmware": true }))
        })
        .chain([json!({ "call": "download.fetch", "url": format!("https://images.example.com/{}", "x".repeat(9000)) })])
        .collect();
    tried(json!(calls), all_refused, &["download.fetch was refused", "download.resolve was refused"])
}

pub(crate) fn connects() -> Trial {
    asked("connect", json!("169.254.169.254:80"), End::Trapped("wasi:sockets"))
}

// B9 to B13: what is others'.

pub(crate) fn reports_for_others() -> Trial {
    let patches = [
        json!({ "firmware": { "status": "ok" } }),
        json!({ "hotshoe": null }),
        json!({ "hotshoe": { "jobs": {} } }),
        json!({ "nested": null }),
        json!({ "nested": { "yours": 1 } }),
        json!({ "zoo": 1, "test": null }),
        json!({ "$version": 7 }),
    ];
    let calls: Vec<Value> =
        patches.iter().map(|patch| json!({ "call": "report.patch", "text": patch.to_string() })).collect();
    tried(json!(calls), all_refused, &["report.patch was refused", "Denied", "zoo, nested.zoo"])
}

pub(crate) fn writes_slots_without_a_job() -> Trial {
    let calls = json!([
        { "call": "flash.staging.open", "slot": "b", "digest": DIGEST },
        { "call": "flash.activate", "slot": "b" },
        { "call": "flash.activate-if-allowed", "slot": "b" },
    ]);
    tried(calls, all_refused, &["flash.activate was refused", "by jobs alone"])
}

pub(crate) fn writes_the_running_slot() -> Trial {
    let calls = json!([
        { "call": "flash.staging.append", "slot": "a", "digest": DIGEST, "size": 100 },
        { "call": "flash.activate", "slot": "a" },
    ]);
    run(calls, all_refused, &["flash.staging.open was refused", "Busy"])
}

pub(crate) fn boots_what_nobody_vouches_for() -> Trial {
    let calls = json!([
        { "call": "flash.staging.append", "slot": "b", "digest": DIGEST, "size": 5000 },
        { "call": "flash.staging.append", "slot": "b", "digest": DIGEST, "size": 100 },
        { "call": "flash.staging.seal", "slot": "b", "digest": DIGEST, "size": 100 },
        { "call": "flash.activate", "slot": "b" },
        { "call": "flash.staging.open", "slot": "b", "digest": "md5:1" },
    ]);
    let refused = |answer: &Value| {
        let refused: Vec<u64> =
            answer.as_array().unwrap().iter().map(|call| call["refused"].as_u64().unwrap()).collect();
        refused == [1, 0, 1, 1, 1]
    };
    run(calls, refused, &["InsufficientSpace", "DigestMismatch", "flash.activate was refused"])
}

pub(crate) fn holds_stagings() -> Trial {
    let calls = json!([{ "call": "hold stagings", "slot": "b", "digest": DIGEST, "many": 300 }]);
    Trial { end: End::Trapped(""), ..run(calls, |_| false, &[]) }
}

pub(crate) fn forges_a_handle() -> Trial {
    asked("forgeHandle", json!(1), End::Trapped("unknown handle"))
}
