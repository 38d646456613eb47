//! Swaps under load: callers that call all the time, while one version takes the other's place again and again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hotshoed::plugin::Reply;
use serde_json::json;

use super::rig::{Made, Rig};

/// One call that was answered.
struct Answered {
    number: u64,
    version: String,
    began: Instant,
    ended: Instant,
}

/// What a caller saw.
#[derive(Default)]
struct Seen {
    answered: Vec<Answered>,
    /// Calls without the answer that belongs to them.
    lost: Vec<String>,
}

/// What came of it all. The tests look at a part of it; the example prints all.
#[derive(Debug)]
#[allow(dead_code)]
pub(crate) struct Figures {
    pub(crate) swaps: usize,
    pub(crate) calls: usize,
    /// Calls without an answer, the first reason.
    pub(crate) lost: usize,
    pub(crate) reason: Option<String>,
    /// Calls that were answered more than once.
    pub(crate) twice: usize,
    /// Answers of a version that was not live at any time of the call.
    pub(crate) never_live: usize,
    /// How long the callers called.
    pub(crate) took: Duration,
    /// The longest that a caller waited.
    pub(crate) longest: Duration,
    /// The wait of the call in the middle.
    pub(crate) median: Duration,
    /// The middle time of an install, from bytes to live.
    pub(crate) install: Duration,
}

/// How callers call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// How many there are.
    pub(crate) callers: u64,
    /// Each calls once in so long, whatever became of the call before: what waits is counted from when the call was due.
    /// Zero: at once after each answer.
    pub(crate) every: Duration,
}

async fn caller(rig: Arc<Rig>, id: u64, every: Duration, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut number = id << 32;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        due += every;
        match every.is_zero() {
            true => tokio::task::yield_now().await,
            false => tokio::time::sleep_until(due.into()).await,
        }
        let began = if every.is_zero() { Instant::now() } else { due };
        let Some(plugin) = rig.plugins.routes().lookup("version") else {
            seen.lost.push("nothing answers the method".to_owned());
            continue;
        };
        match plugin.call("version", json!(number), "load").await {
            Ok(Reply::Done(response)) => {
                let ended = Instant::now();
                let payload = &response.payload;
                match (payload["version"].as_str(), payload["payload"].as_u64()) {
                    (Some(version), Some(number)) => {
                        seen.answered.push(Answered { number, version: version.to_owned(), began, ended });
                    }
                    _ => seen.lost.push(format!("another answer: {payload}")),
                }
            }
            other => seen.lost.push(format!("{other:?}")),
        }
    }
    seen
}

/// Has two versions take each other's place so many times (or none, for as long) while so many callers call.
pub(crate) async fn under_load(
    rig: &Arc<Rig>,
    made: &[Made; 2],
    swaps: usize,
    load: Load,
    at_least: Duration,
) -> Figures {
    let candidates = [made[0].candidate(), made[1].candidate()];
    let first = rig.summary().version.unwrap().to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let calling: Vec<_> = (1..=load.callers)
        .map(|id| tokio::spawn(caller(Arc::clone(rig), id, load.every, Arc::clone(&stop))))
        .collect();

    // Which version came when: from the moment in which it was asked for.
    let mut history = vec![(started, first)];
    let mut ends = Vec::new();
    let mut installs = Vec::new();
    for round in 0..swaps {
        let began = Instant::now();
        let candidate = candidates[round % 2].clone();
        history.push((began, made[round % 2].version.to_owned()));
        rig.plugins.install(candidate, &|_| {}).await.unwrap();
        ends.push(Instant::now());
        installs.push(began.elapsed());
    }
    tokio::time::sleep_until((started + at_least).into()).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for caller in calling {
        let seen = caller.await.unwrap();
        all.answered.extend(seen.answered);
        all.lost.extend(seen.lost);
    }
    let took = started.elapsed();
    // A version is live at most from when it was asked for until the next one's install came back.
    let lives: Vec<(&str, Instant, Option<Instant>)> = history
        .iter()
        .enumerate()
        .map(|(index, (began, version))| (version.as_str(), *began, ends.get(index).copied()))
        .collect();
    let was_live = |call: &Answered| {
        lives.iter().any(|(version, began, ended)| {
            *version == call.version && *began <= call.ended && ended.is_none_or(|ended| ended >= call.began)
        })
    };
    let numbers: HashSet<u64> = all.answered.iter().map(|call| call.number).collect();
    let mut waits: Vec<Duration> = all.answered.iter().map(|call| call.ended - call.began).collect();
    waits.sort();
    installs.sort();
    Figures {
        swaps,
        calls: all.answered.len() + all.lost.len(),
        lost: all.lost.len(),
        reason: all.lost.first().cloned(),
        twice: all.answered.len() - numbers.len(),
        never_live: all.answered.iter().filter(|call| !was_live(call)).count(),
        took,
        longest: waits.last().copied().unwrap_or_default(),
        median: waits.get(waits.len() / 2).copied().unwrap_or_default(),
        install: installs.get(installs.len() / 2).copied().unwrap_or_default(),
    }
}
