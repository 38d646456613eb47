//! The zoo: plugins as an attacker writes them, each beside a well-behaved neighbour that is called all the time.
//!
//! `members` is the table: one hostile plugin for each attack of the catalogue and its variants. `engine`, `proposals` and
//! `shapes` make them of texts and bytes, `wat` is what those stand on; `abuses` tells the plugin of `guest` what to do. `cage` tries each out and looks at what is around:
//! the host is there, the neighbour's calls are answered, nothing outside of the plugins' own areas has changed, the log
//! says why. `cargo xtask torture --only zoo` is the long form, with times.

// All of it is tests, the helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod abuses;
mod alone;
mod cage;
mod crowd;
mod engine;
mod long;
mod members;
mod page;
mod panics;
mod proposals;
mod runs;
mod served;
#[path = "../fetch/server.rs"]
#[allow(dead_code)] // Made for the tests of fetching; this is one of what it can do.
mod server;
mod shapes;
#[path = "../plugin/stage.rs"]
#[allow(dead_code)] // Made for the tests of plugins; this is some of what it can do.
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod wat;
mod whole;

use std::time::Duration;

use alone::{alone, descriptors, descriptors_after};
use cage::Cage;
use members::Member;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_member_of_the_zoo_gets_out_or_harms_its_neighbour() {
    if !alone("no_member_of_the_zoo_gets_out_or_harms_its_neighbour").await {
        return;
    }
    let cage = Cage::new().await;
    let (mut told, mut faults) = (Vec::new(), Vec::new());
    let before = descriptors();
    for member in Member::ALL {
        let went = cage.try_out(*member).await;
        faults.extend(went.fault);
        told.push(format!(
            "{:>7.1} ms {:>7.1} ms  {:<9} {member:?}: {:.150}",
            milliseconds(went.took),
            milliseconds(went.neighbour),
            member.attack(),
            went.text.escape_debug()
        ));
    }
    let after = descriptors_after(before).await;
    let answered = cage.end().await;
    println!("{:>10} {:>10}  took, and the neighbour's longest call meanwhile", "member", "neighbour");
    println!("{}", told.join("\n"));
    println!(
        "{} members, {answered} calls of the neighbour answered, descriptors {before} and {after}",
        Member::ALL.len()
    );
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), Member::ALL.len(), faults.join("\n"));
    assert!(Member::ALL.len() >= 60);
    assert!(after <= before, "{after} descriptors are open where {before} were");
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
