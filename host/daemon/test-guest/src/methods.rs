//! The methods, one bad thing each.
//!
//! | Method | Payload | What it does |
//! |---|---|---|
//! | `echo` | any | answers it |
//! | `trap` | – | panics |
//! | `spin` | – | loops for ever |
//! | `grow` | – | takes memory for ever |
//! | `recurse` | – | calls itself for ever |
//! | `notJson` | – | answers with text that is no JSON (in `component.rs`) |
//! | `badKind` | – | announces a job whose kind is no kind |
//! | `bigReply` | bytes | answers with a string of that length, 128 KiB and a byte unless told |
//! | `logFlood` | lines | writes that many lines, 10,000 unless told |
//! | `report` | object | patches the reported properties with it |
//! | `reportForeign` | – | patches a key that it does not own |
//! | `reportHuge` | – | patches 40 KiB under its own key |
//! | `reportNotJson` | – | patches with text that is no JSON (in `component.rs`) |
//! | `fetch` | `{url, digest?, size?, firmware?}` | fetches, and answers digest, size and origin |
//! | `storageFill` | bytes | keeps values until that many, 128 KiB unless told |
//! | `slots` | – | answers the slots |
//! | `revert` | – | gives up the trial boot, whoever armed it |
//! | `startJob` | `{kind, input?, lane?}` | announces that job |
//! | `desired` | – | answers the desired section as last seen |
//! | `hold` | count | lets the next so many questions of `mayRestart` be answered with no |
//! | `mayRestart` | the policy's question | no while it is held, and keeps the question; then yes |
//! | `asked` | – | the last question |
//! | `settings` | – | the operator's settings |
//! | `version` | any | answers it with the version of the marker (`marker.rs`), or traps if that says so |
//!
//! What the host refuses is answered with status 500 and the text of the error.

use std::fmt::Display;
use std::hint::black_box;

use hotshoe_guest::{
    JobSpec, Rejection, Reply, Request, desired, device, download, flash, info, report, storage,
};
use serde_json::{Value, json};

use crate::marker;

pub(crate) fn handle(request: &Request) -> Result<Reply, Rejection> {
    let payload: Value = request.parse()?;
    match request.name.as_str() {
        "echo" => Ok(Reply::ok(payload)),
        "trap" => trap(),
        "spin" => loop {
            black_box(0);
        },
        "grow" => grow(),
        "recurse" => Ok(Reply::ok(recurse(1))),
        "badKind" => Ok(Reply::ok("never told").with_job(JobSpec::new("No Kind!"))),
        "bigReply" => Ok(Reply::ok("x".repeat(number(&payload, 128 * 1024 + 1)))),
        "logFlood" => {
            for line in 0..number(&payload, 10_000) {
                info!("a flood of lines"; line);
            }
            Ok(Reply::ok("flooded"))
        }
        "report" => report::patch(&payload).map(|()| Reply::ok("reported")).map_err(refused),
        "reportForeign" => {
            report::patch(&json!({ "firmwareStatus": "forged" })).map_err(refused)?;
            Ok(Reply::ok("reported"))
        }
        "reportHuge" => {
            let parts: Vec<String> = (0..10).map(|_| "x".repeat(4096)).collect();
            report::patch(&json!({ "test": { "huge": parts } })).map_err(refused)?;
            Ok(Reply::ok("reported"))
        }
        "fetch" => fetch(&payload),
        "storageFill" => fill(number(&payload, 128 * 1024)),
        "slots" => slots(),
        "revert" => flash::revert().map(|()| Reply::ok("given up")).map_err(refused),
        "startJob" => start_job(&payload),
        "desired" => Ok(Reply::ok(desired::current().map_or(Value::Null, |document| {
            let properties: Value = document.parse().unwrap_or_default();
            json!({ "version": document.version, "properties": properties })
        }))),
        "hold" => {
            storage::set("hold", &[u8::try_from(number(&payload, 1)).unwrap_or(u8::MAX)]).map_err(refused)?;
            Ok(Reply::ok("held"))
        }
        "mayRestart" => may_update(&payload),
        "asked" => {
            let asked = storage::get("asked").map_err(refused)?.unwrap_or_default();
            Ok(Reply::ok(serde_json::from_slice::<Value>(&asked).unwrap_or_default()))
        }
        "settings" => Ok(Reply::ok(device::settings::<Value>().unwrap_or_default())),
        "version" => version(&payload),
        _ => Err(Rejection::UnknownMethod),
    }
}

fn may_update(question: &Value) -> Result<Reply, Rejection> {
    storage::set("asked", question.to_string().as_bytes()).map_err(refused)?;
    let held = storage::get("hold").map_err(refused)?.and_then(|bytes| bytes.first().copied());
    match held.unwrap_or(0) {
        0 => Ok(Reply::ok("go")),
        held => {
            storage::set("hold", &[held - 1]).map_err(refused)?;
            Ok(Reply::new(409, json!({ "reason": "the battery is at 12 %" })))
        }
    }
}

fn version(payload: &Value) -> Result<Reply, Rejection> {
    if let Some(last) = marker::number("trap-at").filter(|last| *last > 0) {
        let count = storage::get("calls").map_err(refused)?.and_then(|bytes| bytes.first().copied());
        let count = count.unwrap_or(0) + 1;
        storage::set("calls", &[count]).map_err(refused)?;
        if u64::from(count) >= last {
            trap();
        }
    }
    Ok(Reply::ok(json!({ "version": marker::word("version"), "payload": payload })))
}

/// The trap itself: a panic, which aborts.
#[allow(clippy::panic)]
pub(crate) fn trap() -> ! {
    panic!("the test asked for a trap")
}

fn grow() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    black_box(recurse(depth + 1)) + frame.iter().sum::<u64>()
}

fn fetch(payload: &Value) -> Result<Reply, Rejection> {
    let text = |key: &str| payload.get(key).and_then(Value::as_str);
    let url = text("url").unwrap_or_default();
    let request = match payload.get("firmware") {
        Some(Value::Bool(true)) => download::firmware(url),
        _ => download::file(url),
    };
    let size = payload.get("size").and_then(Value::as_u64);
    let artifact = request.digest(text("digest").map(str::to_owned)).size(size).fetch().map_err(refused)?;
    let start = artifact.read(0, 16).map_err(refused)?;
    Ok(Reply::ok(json!({
        "digest": artifact.digest(),
        "size": artifact.size(),
        "origin": artifact.origin(),
        "start": String::from_utf8_lossy(&start),
    })))
}

fn fill(bytes: usize) -> Result<Reply, Rejection> {
    for number in 0..bytes.div_ceil(1024) {
        storage::set(&format!("fill-{number}"), &[b'x'; 1024]).map_err(refused)?;
    }
    Ok(Reply::ok(json!({ "keys": storage::keys().map_err(refused)?.len() })))
}

fn slots() -> Result<Reply, Rejection> {
    let slots = flash::slots().map_err(refused)?;
    let slots: Vec<Value> = slots
        .into_iter()
        .map(|slot| json!({ "name": slot.name, "size": slot.size, "running": slot.running, "good": slot.good }))
        .collect();
    Ok(Reply::ok(slots))
}

fn start_job(payload: &Value) -> Result<Reply, Rejection> {
    let kind = payload.get("kind").and_then(Value::as_str).unwrap_or_default();
    let mut job = JobSpec::new(kind).input(payload.get("input").cloned().unwrap_or_default());
    if let Some(lane) = payload.get("lane").and_then(Value::as_str) {
        job = job.lane(lane);
    }
    Ok(Reply::ok("job announced").with_job(job))
}

fn number(payload: &Value, default: usize) -> usize {
    payload.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
}

fn refused(error: impl Display) -> Rejection {
    Rejection::Other(error.to_string())
}
