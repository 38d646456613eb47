//! Hubs that break every rule: a table of them.
//!
//! Each row: what the hub does at some moments, or sends once the device is there, and what the device must make of it.
//! After every row the session is back, everything that was reported has arrived, a method that is delivered three times
//! is handed on once and its neighbour is answered, no loss of the link is told twice; and a device that is killed then
//! comes back with all it reported.

mod faces;
mod handshakes;
mod methods;
mod packets;
mod twins;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use rumqttc::Packet;
use serde_json::json;

use crate::broker::{Act, Broker, Moment, call, certain};
use crate::device::{Device, Disk, reply};
use crate::face::TRUE;
use crate::server::Face;

/// What the device makes of it.
#[derive(Clone, Copy, Debug)]
enum Must {
    /// The link stays.
    Stay,
    /// The link ends, and another one comes; this is in what is told of it.
    Return(&'static str),
}

/// What the hub sends.
enum Sent {
    Packets(Vec<Packet>),
    Bytes(Vec<u8>),
}

struct Row {
    name: &'static str,
    /// What connections meet until the device has met it twice.
    face: Face,
    /// What happens at a moment, by how often something has happened; nothing where it is as it should be.
    script: fn(&Moment<'_>, usize) -> Option<Act>,
    /// What is sent once the device is subscribed.
    push: fn() -> Vec<Sent>,
    must: Must,
    /// What calls are answered with, by their request ids.
    answers: &'static [(&'static str, i32)],
    /// How long the device waits for answers.
    patience: Duration,
    keep_alive: Duration,
}

const ROW: Row = Row {
    name: "",
    face: TRUE,
    script: |_, _| None,
    push: Vec::new,
    must: Must::Stay,
    answers: &[],
    patience: Duration::from_secs(20),
    keep_alive: Duration::from_secs(60),
};

/// For rows in which an answer does not come.
const SHORT: Duration = Duration::from_millis(500);

fn rows() -> Vec<Row> {
    [faces::rows(), handshakes::rows(), packets::rows(), methods::rows(), twins::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// How many rows the table has at least, and at once.
const LEAST: usize = 60;
const AT_ONCE: usize = 8;

/// How long a row may take before it counts as endless. Never reached when all is well.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows of one name");
    let checks = rows.into_iter().map(|row| async move {
        let name = row.name;
        // In a task of its own: what panics in it is told with the row's name.
        let held = tokio::time::timeout(PATIENCE, tokio::spawn(async move { check(&row).await })).await;
        let held = held.map_err(|_| "it does not end".to_owned());
        (name, held.and_then(|done| done.map_err(|panicked| panicked.to_string())?))
    });
    let results: Vec<_> = futures_util::stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<_> = results
        .iter()
        .filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    let held: BTreeSet<_> = results.iter().map(|(name, _)| *name).collect();
    assert!(held == names && held.len() >= LEAST, "{} of {} rows, {LEAST} at least", held.len(), names.len());
    eprintln!("{} rows", held.len());
}

async fn check(row: &Row) -> Result<(), String> {
    let (script, mut acted) = (row.script, 0);
    let broker = Broker::start(move |moment| match script(&moment, acted) {
        Some(act) => {
            acted += 1;
            act
        }
        None => Act::Serve,
    })
    .await;
    broker.show(row.face);
    let disk = Disk::new();
    let start = || {
        Device::start_with(&broker, &disk, |settings| {
            settings.pace.answer = row.patience;
            settings.pace.connect = Duration::from_secs(2);
            settings.keep_alive = row.keep_alive;
        })
    };
    let mut device = start();
    device.hub.outbox.patch(json!({"before": {"a": 1, "b": [1, "x"]}})).await.unwrap();
    if row.face != TRUE {
        broker.until("two failed handshakes", |model| (model.failed_handshakes >= 2).then_some(())).await;
        if broker.model(|model| !model.connects.is_empty()) {
            return Err("a token was sent".to_owned());
        }
        broker.show(TRUE);
    }
    broker.until("the device", |model| model.subscribed.then_some(())).await;
    for sent in (row.push)() {
        match sent {
            Sent::Packets(packets) => broker.push(packets),
            Sent::Bytes(bytes) => broker.push_bytes(bytes),
        }
    }
    if let Must::Return(_) = row.must {
        broker
            .until("another connection", |model| {
                let met = model.connects.len() + model.failed_handshakes;
                (met >= 2 && model.subscribed).then_some(())
            })
            .await;
    }
    settled(row, &broker, &mut device).await?;
    device.kill().await;
    let mut device = start();
    device.hub.outbox.patch(json!({"after": null, "restarted": true})).await.unwrap();
    device.flushed().await;
    broker.until_reported(json!({"before": {"a": 1, "b": [1, "x"]}, "restarted": true})).await;
    thrice(&broker, &mut device, "again").await?;
    device.stop().await;
    Ok(())
}

/// All is as if nothing had been.
async fn settled(row: &Row, broker: &Broker, device: &mut Device) -> Result<(), String> {
    device.hub.outbox.patch(json!({"after": 2})).await.unwrap();
    device.flushed().await;
    broker.until_reported(json!({"before": {"a": 1, "b": [1, "x"]}, "after": 2})).await;
    thrice(broker, device, "once").await?;
    for (request_id, wanted) in row.answers {
        let (status, body) = broker.answer(request_id).await;
        if status != *wanted {
            return Err(format!("{request_id} was answered with {status}, {body}"));
        }
    }
    let connects = broker.model(|model| model.connects.len());
    let (log, losses) = (device.log(), device.hub.metrics.losses.get());
    let told: Vec<_> = log.lines().filter(|line| line.contains("no connection to the hub")).collect();
    if told.len() as u64 != losses {
        return Err(format!("{losses} losses, told {} times: {told:?}", told.len()));
    }
    match row.must {
        Must::Stay if connects != 1 => Err(format!("{connects} connections; {told:?}")),
        Must::Return(words) if !log.contains(words) => Err(format!("{words:?} is not in {told:?}")),
        _ => Ok(()),
    }
}

/// A method that is delivered three times takes effect once; a neighbour is answered.
async fn thrice(broker: &Broker, device: &mut Device, name: &str) -> Result<(), String> {
    let topic = format!("$iothub/methods/POST/{name}/?$rid={name}");
    let delivery = |pkid, dup| certain(&topic, "null", pkid, dup);
    broker.push(vec![delivery(9001, false), delivery(9001, true), delivery(9002, true)]);
    let neighbour = format!("neighbour-{name}");
    broker.push(vec![call(&neighbour, &neighbour, "{}")]);
    let mut handed = 0;
    loop {
        let call = device.call().await;
        let (last, again) = (call.name == neighbour, call.name == name);
        handed += usize::from(again);
        reply(call, 200);
        if last {
            break;
        }
    }
    let (first, second) = (broker.answer(name).await.0, broker.answer(&neighbour).await.0);
    let answers = broker.model(|model| model.answers.iter().filter(|(id, ..)| id == name).count());
    match (handed, answers, first, second) {
        (1, 1, 200, 200) => Ok(()),
        other => Err(format!("{name}: handed on, answers and statuses are {other:?}")),
    }
}

/// A PUBLISH of these flags, well-formed or not.
fn publish(flags: u8, topic: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(topic);
    body.extend_from_slice(rest);
    let mut packet = vec![0x30 | flags];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        packet.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(&body);
    packet
}
