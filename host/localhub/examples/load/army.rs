//! The hostile clients as a process of their own, at idle priority.
//!
//! Attackers burn processor time on their own machines. Here they share the hub's, and what they burn would be counted
//! against the hub's neighbours; so their process gets what nobody else wants (`SCHED_IDLE` by `chrt`, nice 19 where there
//! is none), while hub, devices and callers run at normal priority. They still have all that the others leave, which
//! is most of a machine: how much they got done is printed beside what it cost.
//!
//! The process is this program again, with what it is to do in JSON. It says `in place` when those that stay have
//! their connections, answers each `count` with its [`Deeds`], stops coming back at `stay`, and ends with its input.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::attacks::{ATTACKS, DEEDS, send};
use crate::target::Target;

/// Longer than any of the hub's limits, which are a minute at most.
const PATIENCE: Duration = Duration::from_secs(150);

/// Attackers at work.
pub(crate) struct Army {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    since: Instant,
}

impl Army {
    /// Sends so many attackers of each kind, and waits until those that stay have their connections.
    pub(crate) async fn send(target: &Target, kinds: &[(usize, usize)], devices: usize) -> Self {
        let orders = json!({"target": target.to_json(), "kinds": kinds, "devices": devices}).to_string();
        let program = std::env::current_exe().unwrap();
        let mut child = idle_priority(&program)
            .args(["--attack", &orders])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program again");
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut army = Self { child, orders, answers, since: Instant::now() };
        assert_eq!(army.line().await, "in place");
        army
    }

    /// What they did since this was asked before.
    pub(crate) async fn deeds(&mut self) -> Deeds {
        self.orders.write_all(b"count\n").await.unwrap();
        let counts = serde_json::from_str(&self.line().await).unwrap();
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        Deeds { counts, seconds }
    }

    /// Lets go of all but the connections that stay.
    pub(crate) async fn stay(&mut self) {
        self.orders.write_all(b"stay\n").await.unwrap();
        assert_eq!(self.line().await, "staying");
    }

    /// Ends the attack. Fails if one of the attackers got what it wanted.
    pub(crate) async fn end(mut self) {
        drop(self.orders);
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the attackers end").unwrap();
        assert!(status.success(), "the attackers ended with {status}");
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.answers.next_line()).await.expect("the attackers are not in place");
        line.unwrap().expect("an attacker got what it wanted, or none of them got anywhere; see above")
    }
}

/// What attackers did in a time: of each kind its connections, packets, and ends by the hub.
pub(crate) struct Deeds {
    counts: Vec<[u64; 3]>,
    seconds: f64,
}

impl Deeds {
    /// Connections, packets and ends a second, of one kind or of all.
    pub(crate) fn rates(&self, kind: Option<usize>) -> [f64; 3] {
        let of = |index: &usize| kind.is_none_or(|kind| kind == *index);
        let kinds = self.counts.iter().enumerate().filter(|(index, _)| of(index));
        let sums = kinds.fold([0; 3], |sums, (_, counts)| [0, 1, 2].map(|which| sums[which] + counts[which]));
        sums.map(|sum: u64| sum as f64 / self.seconds)
    }
}

/// A command that runs when nobody else wants the processor.
pub(crate) fn idle_priority(program: &std::path::Path) -> Command {
    let has_chrt = std::process::Command::new("chrt").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut command = Command::new(if has_chrt { "chrt" } else { "nice" });
    command.args(if has_chrt { ["--idle", "0"] } else { ["-n", "19"] }).arg(program);
    command
}

/// The process of the attackers.
pub(crate) async fn fight(orders: &str) {
    let orders: Value = serde_json::from_str(orders).unwrap();
    let target = Arc::new(Target::of_json(&orders["target"]));
    let devices = orders["devices"].as_u64().unwrap() as usize;
    let kinds: Vec<(usize, usize)> = serde_json::from_value(orders["kinds"].clone()).unwrap();
    let (mut staying, mut coming_back) = (JoinSet::new(), JoinSet::new());
    let (in_place, mut expected) = (Arc::new(AtomicUsize::new(0)), 0);
    for (kind, count) in kinds {
        let stays = ATTACKS[kind].stays;
        let attackers = if stays { &mut staying } else { &mut coming_back };
        expected += if stays { count } else { 0 };
        send(attackers, &target, &in_place, (kind, &ATTACKS[kind]), (count, devices)).await;
    }
    sleep(Duration::from_secs(2)).await;
    while in_place.load(Ordering::Relaxed) < expected {
        sleep(Duration::from_millis(50)).await;
    }
    count();
    println!("in place");
    let (heard, mut orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| heard.send(line))
    });
    loop {
        tokio::select! {
            order = orders.recv() => match order.as_deref() {
                Some("count") => println!("{}", json!(count())),
                Some("stay") => {
                    coming_back.abort_all();
                    println!("staying");
                }
                _ => break,
            },
            Some(ended) = staying.join_next() => check(ended),
            Some(ended) = coming_back.join_next() => check(ended),
        }
    }
    for attackers in [&mut staying, &mut coming_back] {
        attackers.abort_all();
        while let Some(ended) = attackers.join_next().await {
            check(ended);
        }
    }
}

fn count() -> Vec<[u64; 3]> {
    let taken = |deeds: &[std::sync::atomic::AtomicU64; 3]| {
        [0, 1, 2].map(|which: usize| deeds[which].swap(0, Ordering::Relaxed))
    };
    DEEDS.iter().map(taken).collect()
}

fn check(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        assert!(error.is_cancelled(), "an attacker: {error}");
    }
}
