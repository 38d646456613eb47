//! Each system call of an update, once with a kill, once with `EIO` and once with `ENOSPC`.
//!
//! A device takes a signed image from a hub: order, metadata, chunks from the socket into the slot, seal, trial boot,
//! confirm, report. `strace` meets one call on a file or a socket in it with a fault. Whatever comes of it, the process
//! is started again as init would, and in the end the update is there, each time with the same promises ([`story`]).
//!
//! Real are the hub, TLS, the plugin, the job, the receiving, the slots, the file system, the kernel. In
//! [`Threads::One`] the device's own code runs on one thread, which gives its calls one order, so that every one of them
//! is met; [`Threads::Real`] is the program as it is shipped, where `strace` counts for each thread by itself. See
//! docs/decisions/0175.
//!
//! A few calls where nothing is set, the same ones again with `HOTSHOE_SEED`; all with `HOTSHOE_TORTURE`; one fault with
//! `HOTSHOE_FAULT="one 1 pwrite64 EIO 3"`.

// All of it is tests, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
mod device;
mod place;
mod story;
#[path = "../support/mod.rs"]
mod support;
mod sweep;

use std::sync::Arc;

use place::Place;
use story::{Life, Point, Threads};
use support::strace::{Fault, Injection, can_trace};

/// How many calls are tried where not all are.
const SOME: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_survives_a_fault_at_each_of_its_calls() {
    if !can_trace() {
        return;
    }
    let place = Arc::new(Place::prepare().await);
    if let Ok(text) = std::env::var("HOTSHOE_FAULT") {
        return sweep::one(&place, &point(&text)).await;
    }
    let limit = std::env::var_os("HOTSHOE_TORTURE").is_none().then_some(SOME);
    let seed = std::env::var("HOTSHOE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    sweep::all(&place, seed, limit).await;
}

/// A point as it is told: threads, life, call, fault, number.
fn point(text: &str) -> Point {
    let words: Vec<&str> = text.split(' ').collect();
    let [threads, life, call, fault, k] = words.as_slice() else { panic!("{text:?} is no point") };
    Point {
        threads: Threads::ALL.into_iter().find(|one| one.name() == *threads).expect("one or real"),
        life: Life::ALL.into_iter().find(|one| one.name() == *life).expect("1 or 2"),
        injection: Injection {
            call: (*call).to_owned(),
            fault: Fault::ALL.into_iter().find(|one| one.name() == *fault).expect("kill, EIO or ENOSPC"),
            k: k.parse().unwrap(),
        },
    }
}
