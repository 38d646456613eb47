//! Calls of the host, by name.
//!
//! A call is `{"call": "storage.set", "key": …, "text": …, "size": …, "times": …}`: `size` makes a text of that many
//! bytes, `times` makes the call that often, `numbered` in place of `key` makes another key of each. The answer is `{"times", "refused", "first", "last"}`, the texts being the
//! host's answers as they are.

use hotshoe_guest::bindings::hotshoe::plugin::{
    desired, device, download, flash, job, log, report, storage, telemetry,
};
use serde_json::{Value, json};

/// Makes all calls of a list.
pub(crate) fn all(calls: &Value, job: Option<&job::Job>) -> Value {
    calls.as_array().into_iter().flatten().map(|call| repeated(call, job)).collect()
}

fn repeated(call: &Value, job: Option<&job::Job>) -> Value {
    let times = call.get("times").and_then(Value::as_u64).unwrap_or(1);
    tell((0..times).map(|number| {
        let mut call = call.clone();
        if let Some(key) = call.get("numbered").and_then(Value::as_str).map(|key| format!("{key}{number}")) {
            call["key"] = json!(key);
        }
        one(&call, job)
    }))
}

/// What was answered to many calls.
pub(crate) fn tell(answers: impl Iterator<Item = Result<String, String>>) -> Value {
    let (mut times, mut refused, mut first, mut last) = (0_u64, 0_u64, None, String::new());
    for answer in answers {
        times += 1;
        refused += u64::from(answer.is_err());
        last = answer.unwrap_or_else(|error| error);
        first.get_or_insert_with(|| last.clone());
    }
    json!({ "times": times, "refused": refused, "first": first, "last": last })
}

/// Makes one call.
pub(crate) fn one(call: &Value, job: Option<&job::Job>) -> Result<String, String> {
    let word = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |key: &str| call.get(key).and_then(Value::as_u64).unwrap_or_default();
    let text = || match usize::try_from(number("size")).unwrap_or_default() {
        0 => word("text"),
        size => "x".repeat(size),
    };
    let fields = || (0..number("fields")).map(|_| (word("field"), word("field"))).collect::<Vec<_>>();
    match word("call").as_str() {
        "storage.get" => told(storage::get(&word("key"))),
        "storage.set" => told(storage::set(&word("key"), text().as_bytes())),
        "storage.delete" => told(storage::delete(&word("key"))),
        "storage.keys" => told(storage::keys()),
        "report.patch" => told(report::patch(&text())),
        "report.flush" => Ok(report::flush(number("milliseconds").saturating_mul(1_000_000)).to_string()),
        "telemetry.send" => told(telemetry::send(&text(), &fields())),
        "log.write" => {
            log::write(log::Level::Info, &text(), &fields());
            Ok(String::new())
        }
        "desired.current" => Ok(format!("{:?}", desired::current())),
        "device.facts" => Ok(format!("{:?}", device::facts())),
        "device.uptime" => Ok(device::uptime().to_string()),
        "device.clock-is-set" => Ok(device::clock_is_set().to_string()),
        "device.timestamp" => Ok(device::timestamp()),
        "device.settings" => Ok(device::settings()),
        "download.fetch" => told(download::fetch(&request(call)).map(drop)),
        "download.resolve" => told(download::resolve(&request(call)).map(drop)),
        "flash.slots" => told(flash::slots()),
        "flash.groups" => told(flash::groups()),
        "flash.activate" => told(flash::activate(&word("slot"))),
        "flash.activate-if-allowed" => told(flash::activate_if_allowed(&word("slot"))),
        "flash.confirm" => told(flash::confirm()),
        "flash.revert" => told(flash::revert()),
        "flash.staging.open" => told(flash::Staging::open(&word("slot"), &word("digest")).map(drop)),
        "flash.staging.written" => on(call, |staging| Ok(staging.written().to_string())),
        "flash.staging.append" => on(call, |staging| told(staging.append(text().as_bytes()))),
        "flash.staging.seal" => on(call, |staging| {
            let _ = staging.append(text().as_bytes());
            told(staging.seal("9.9.9"))
        }),
        "flash.staging.append-artifact" => on(call, |staging| {
            let artifact = fetched(call)?;
            told(staging.append_artifact(&artifact))
        }),
        "flash.staging.receive" => on(call, |staging| {
            let source = resolved(call)?;
            told(staging.receive(&source))
        }),
        name if name.starts_with("download.artifact.") => of_artifact(name, &fetched(call)?),
        name if name.starts_with("download.source.") => of_source(name, &resolved(call)?),
        "hold stagings" => {
            let open = || flash::Staging::open(&word("slot"), &word("digest"));
            let held: Result<Vec<_>, _> = (0..number("many")).map(|_| open()).collect();
            told(held.map(|held| held.len()))
        }
        name => match job {
            Some(job) => of_job(name, job, text()),
            None => Err(format!("there is no call {name}")),
        },
    }
}

fn of_job(name: &str, job: &job::Job, text: String) -> Result<String, String> {
    match name {
        "job.id" => Ok(job.id()),
        "job.kind" => Ok(job.kind()),
        "job.input" => Ok(job.input().len().to_string()),
        "job.wake" => Ok(format!("{:?}", job.wake())),
        "job.attempt" => Ok(job.attempt().to_string()),
        "job.checkpoint" => Ok(format!("{:?}", job.checkpoint().map(|checkpoint| checkpoint.phase))),
        "job.save" => {
            let checkpoint = job::Checkpoint { phase: "zoo".into(), schema: 1, bytes: text.into_bytes() };
            told(job.save(&checkpoint))
        }
        "job.progress" => {
            job.progress(&job::Progress { phase: text, done: u64::MAX, total: Some(0) });
            Ok(String::new())
        }
        "job.should-suspend" => Ok(job.should_suspend().to_string()),
        "job.cancelled" => Ok(job.cancelled().to_string()),
        _ => Err(format!("there is no call {name}")),
    }
}

/// Called on what is dropped in the end.
fn of_artifact(name: &str, artifact: &download::Artifact) -> Result<String, String> {
    match name {
        "download.artifact.digest" | "download.artifact.drop" => Ok(artifact.digest()),
        "download.artifact.size" => Ok(artifact.size().to_string()),
        "download.artifact.origin" => Ok(artifact.origin()),
        "download.artifact.read" => told(artifact.read(0, u32::MAX).map(|bytes| bytes.len())),
        _ => Err(format!("there is no call {name}")),
    }
}

fn of_source(name: &str, source: &download::Source) -> Result<String, String> {
    match name {
        "download.source.digest" | "download.source.drop" => Ok(source.digest()),
        "download.source.size" => Ok(format!("{:?}", source.size())),
        "download.source.version" => Ok(format!("{:?}", source.version())),
        _ => Err(format!("there is no call {name}")),
    }
}

fn fetched(call: &Value) -> Result<download::Artifact, String> {
    download::fetch(&request(call)).map_err(|error| format!("{error:?}"))
}

fn resolved(call: &Value) -> Result<download::Source, String> {
    let resolved = download::resolve(&request(call)).map_err(|error| format!("{error:?}"))?;
    resolved.ok_or_else(|| "nobody knows what it will be".to_owned())
}

fn on(call: &Value, work: impl FnOnce(&flash::Staging) -> Result<String, String>) -> Result<String, String> {
    let word = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default();
    let staging = flash::Staging::open(word("slot"), word("digest")).map_err(|error| format!("{error:?}"))?;
    work(&staging)
}

fn request(call: &Value) -> download::Request {
    let word = |key: &str| call.get(key).and_then(Value::as_str).map(str::to_owned);
    download::Request {
        url: word("url").unwrap_or_default(),
        digest: word("digest"),
        size: call.get("bytes").and_then(Value::as_u64),
        purpose: match call.get("firmware") {
            Some(_) => download::Purpose::Firmware,
            None => download::Purpose::File,
        },
    }
}

fn told<T: std::fmt::Debug, E: std::fmt::Debug>(answer: Result<T, E>) -> Result<String, String> {
    answer.map(|answer| format!("{answer:?}")).map_err(|error| format!("{error:?}"))
}
