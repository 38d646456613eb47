//! The long form: figures, which depend on the machine, and many rounds. `cargo xtask torture --only zoo`.

use std::time::Duration;

use hotshoe_core::package;
use serde_json::Value;

use super::alone::{descriptors, descriptors_after};
use super::cage::{BUDGET, Cage};
use super::members::{End, Member};
use super::milliseconds;

/// How long a runaway may take to be stopped that has [`BUDGET`].
const CONTAINED: Duration = Duration::from_millis(150);
/// How often each runaway is tried, how often again, and how often a plugin is loaded, traps and is dropped.
const TRIES: usize = 20;
const ATTEMPTS: usize = 3;
const ROUNDS: usize = 10_000;
/// What so many rounds may leave, in bytes.
const LEFT: i64 = 1 << 20;
/// How much longer a neighbour's call may take than alone.
const DELAYED: f64 = 3.0;

/// The memory of this process, in bytes.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

/// The largest but for one in a hundred.
fn most(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and judges times: cargo xtask torture --only zoo"]
async fn runaways_are_stopped_in_time() {
    let cage = Cage::new().await;
    let mut alone = cage.times_of_neighbour(Duration::from_secs(3)).await;
    let alone = most(&mut alone);
    let mut late = Vec::new();
    for member in Member::ALL.iter().filter(|member| matches!(member.trial().end, End::TimedOut)) {
        let mut trial = member.trial();
        let (_, manifest) = package::read(&trial.plugin).unwrap();
        // On the clock, host calls included.
        let manifest = manifest.replace("\"400ms\"", "\"100ms\"").replace("\"2s\"", "\"100ms\"");
        trial.plugin = package::embed(&trial.plugin, &manifest);
        let plugin = cage.load_patiently(&trial.plugin).await;
        // A machine that does other things is late by itself, now and then: late is who is late each time.
        let mut is_late = true;
        for _ in 0..ATTEMPTS {
            cage.forget_times();
            let mut took = Vec::new();
            for _ in 0..TRIES {
                let began = std::time::Instant::now();
                let answer = plugin.call(trial.method, trial.payload.clone(), "call-1").await;
                took.push(began.elapsed());
                assert!(answer.is_err(), "{member:?}: {answer:?}");
            }
            let mut neighbour = cage.forget_times();
            let (took, neighbour) = (most(&mut took), most(&mut neighbour));
            let times = neighbour.as_secs_f64() / alone.as_secs_f64();
            println!(
                "{:>7.1} ms for {} ms; the neighbour {:>6.2} ms, {times:>4.1} times alone  {member:?}",
                milliseconds(took),
                BUDGET.as_millis(),
                milliseconds(neighbour)
            );
            is_late = took > CONTAINED || times > DELAYED;
            if !is_late {
                break;
            }
        }
        if is_late {
            late.push(*member);
        }
    }
    println!("the neighbour alone: {:.2} ms", milliseconds(alone));
    cage.end().await;
    assert!(late.is_empty(), "over {CONTAINED:?}, or the neighbour over {DELAYED} times alone: {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo xtask torture --only zoo"]
async fn ten_thousand_rounds_leave_nothing() {
    let cage = Cage::new().await;
    let plugin = Member::Recurses.trial().plugin;
    let mut base = None;
    for round in 0..ROUNDS {
        let loaded = cage.load_patiently(&plugin).await;
        assert!(loaded.call("go", Value::Null, "call-1").await.is_err());
        drop(loaded);
        // What grows with the first rounds is kept: the pool's slots, the allocator's arenas.
        if round == ROUNDS / 10 {
            base = Some((resident(), descriptors()));
        }
        if round % (ROUNDS / 10) == 0 {
            println!("{round:>6} rounds: {:>7} KiB, {} descriptors", resident() / 1024, descriptors());
        }
    }
    let (memory, open) = base.unwrap();
    let (grown, opened) = (resident() - memory, descriptors_after(open).await);
    println!(
        "{ROUNDS} rounds: {:+} KiB since the first tenth, descriptors {open} and {opened}",
        grown / 1024
    );
    assert!(grown <= LEFT, "{grown} bytes more");
    assert!(opened <= open);
    cage.end().await;
}
