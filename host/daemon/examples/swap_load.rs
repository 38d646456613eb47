//! What swapping costs those who call: versions of a plugin take each other's place while callers call all the time.
//!
//! Prints one line of JSON: calls a second without and during swaps, the longest wait of a caller, how long the routes'
//! pointer takes, how long an install takes from bytes to live with and without compiled code at hand; and how many calls
//! were lost, answered twice, or answered by a version that was not live, which is none.
//!
//! `swap_load [SWAPS] [CALLERS]`, beside a built `hotshoe-aot`, with the guests in `target/guests`

#![allow(clippy::print_stdout)] // its result
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a bench may fail
#![allow(unreachable_pub, dead_code)] // made for the tests

#[path = "../tests/swap/rig.rs"]
mod rig;
#[path = "../tests/plugin/stage.rs"]
mod stage;
#[path = "../tests/swap/swaps.rs"]
mod swaps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotshoed::plugin::Routes;
use serde_json::json;

use rig::{OPEN, Rig, Setting, version};
use swaps::{Figures, Load, under_load};

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let swaps = arguments.next().unwrap_or(1000);
    let callers = arguments.next().unwrap_or(4);
    let policy = OPEN.replace("[plugins]\n", "[plugins]\ndowngrade = true\n");
    let cache = tempfile::tempdir().unwrap();
    let setting = Setting { policy, cache: cache.path().to_owned(), ..Setting::default() };
    let rig = Arc::new(Rig::with(setting).await);
    let made = [version("1.1.0"), version("1.0.0")];

    let mut compiling = Vec::new();
    for made in [&made[0], &made[1]] {
        let began = Instant::now();
        rig.install(made).await.unwrap();
        compiling.push(began.elapsed());
    }
    let pointer = pointer(&rig, &made).await;
    let swaps = usize::try_from(swaps).unwrap();
    let [all, none, paced] = [
        Load { callers, every: Duration::ZERO },
        Load { callers: 0, every: Duration::ZERO },
        // 1,200 calls a second.
        Load { callers: 12, every: Duration::from_millis(10) },
    ];
    let quiet = under_load(&rig, &made, 0, all, Duration::from_secs(5)).await;
    let idle = under_load(&rig, &made, 50, none, Duration::ZERO).await;
    let busy = under_load(&rig, &made, swaps, all, Duration::ZERO).await;
    let paced_quiet = under_load(&rig, &made, 0, paced, Duration::from_secs(10)).await;
    let paced = under_load(&rig, &made, swaps, paced, Duration::ZERO).await;
    let (trapped, next_good) = trap_to_good(&rig).await;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let per_second = |figures: &Figures| figures.calls as f64 / figures.took.as_secs_f64();
    println!(
        "{}",
        json!({
            "swaps": busy.swaps,
            "calls": busy.calls,
            "lost": busy.lost,
            "lost_why": busy.reason,
            "answered_twice": busy.twice,
            "answered_by_what_was_not_live": busy.never_live,
            "calls_per_second": { "without_swaps": per_second(&quiet), "during_swaps": per_second(&busy) },
            "swaps_per_second": busy.swaps as f64 / busy.took.as_secs_f64(),
            "wait_median_ms": { "without_swaps": milliseconds(quiet.median), "during_swaps": milliseconds(busy.median) },
            "wait_longest_ms": { "without_swaps": milliseconds(quiet.longest), "during_swaps": milliseconds(busy.longest) },
            "paced": {
                "calls": paced.calls,
                "calls_per_second": per_second(&paced),
                "lost": paced.lost,
                "answered_twice": paced.twice,
                "answered_by_what_was_not_live": paced.never_live,
                "wait_median_ms": { "without_swaps": milliseconds(paced_quiet.median), "during_swaps": milliseconds(paced.median) },
                "wait_longest_ms": { "without_swaps": milliseconds(paced_quiet.longest), "during_swaps": milliseconds(paced.longest) },
            },
            "pointer_us": pointer.as_secs_f64() * 1e6,
            "trap": { "answered_after_ms": milliseconds(trapped), "next_good_answer_after_ms": milliseconds(next_good) },
            "install_to_live_ms": {
                "compiled_before": milliseconds(idle.install),
                "compiled_before_under_load": milliseconds(busy.install),
                "not_compiled_before": milliseconds(*compiling.iter().min().unwrap()),
            },
        })
    );
}

/// From the beginning of a call that traps until its caller is told, and until another call has its good answer.
async fn trap_to_good(rig: &Rig) -> (Duration, Duration) {
    let bad = rig::Made { trap_at: 1, ..version("2.0.0") };
    rig.install(&bad).await.unwrap();
    let began = Instant::now();
    assert_eq!(rig.ask().await.0, 500);
    let told = began.elapsed();
    assert_eq!(rig.ask().await.0, 200);
    (told, began.elapsed())
}

/// The middle time that the routes take to send calls to another version.
async fn pointer(rig: &Rig, made: &[rig::Made; 2]) -> Duration {
    let policy = hotshoe_core::policy::parse(OPEN).unwrap();
    let mut versions = Vec::new();
    for made in made {
        let services = Arc::clone(&rig.stage.services);
        let settings = serde_json::Value::Null;
        versions.push(rig.stage.engine.load(&made.component(), &policy, settings, services).await.unwrap());
    }
    let routes = Routes::default();
    let mut times: Vec<Duration> = (0..2000)
        .map(|round| {
            let began = Instant::now();
            routes.replace(&versions[round % 2]).unwrap();
            began.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}
