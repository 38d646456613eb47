//! All points, a few at a time, in an order that a number decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::story::{Life, Outcome, Point, Story, Threads};
use crate::support::strace::{Fault, Injection, Look};

/// Stories that are told at the same time: most wait, for a pause or a disk.
const BESIDE: usize = 8;
/// What is traced.
const WAYS: [(Threads, Life); 4] = [
    (Threads::One, Life::First),
    (Threads::One, Life::Second),
    (Threads::Real, Life::First),
    (Threads::Real, Life::Second),
];
/// Calls that no kernel fails so, and whose failure libraries take for a defect of the program (the runtimes' waits, pipes
/// to themselves and standard streams), or cannot be seen, or that are about memory; a process is killed at them all the
/// same.
const ONLY_KILLED: [&str; 7] = ["epoll_wait", "epoll_pwait", "poll", "socketpair", "sendto", "close", "mmap"];

/// How often each call is made, for each way and life.
type Counts = BTreeMap<(usize, usize, String), u32>;

/// Tells one story.
pub(crate) async fn one(place: &Arc<Place>, point: &Point) {
    let look = Look::With(point.injection.clone());
    let mut story = Story::new(place, point.threads, point.life, look).await;
    let told = story.tell().await;
    let trace = story.trace.as_ref().map(|trace| trace.log.as_str()).unwrap_or_default();
    eprintln!("{}\n{}\n{trace}\n{told:?}", point.name(), story.log());
    told.unwrap();
}

/// Tells the stories of all points, or of so many calls, each with all its faults; `seed` decides which and in what order.
pub(crate) async fn all(place: &Arc<Place>, seed: u64, limit: Option<usize>) {
    let began = Instant::now();
    let counts = counts(place).await;
    for (threads, life) in WAYS {
        let these =
            counts.iter().filter(|((one, two, _), _)| (*one, *two) == (threads as usize, life as usize));
        let these: BTreeMap<&str, u32> = these.map(|((_, _, call), count)| (call.as_str(), *count)).collect();
        let sum: u32 = these.values().sum();
        eprintln!("{threads:?} {life:?}: {sum} calls, {these:?}");
    }
    let mut calls = calls(&counts);
    calls.shuffle(&mut StdRng::seed_from_u64(seed));
    calls.truncate(limit.unwrap_or(usize::MAX));
    let chosen = calls.len();
    let mut points: VecDeque<Point> = calls.into_iter().flatten().collect();
    let total: u32 = counts.values().sum();
    eprintln!("{chosen} of {total} calls and one more of each, {} faults, seed {seed}", points.len());
    let mut sum = Sum::default();
    let mut told = JoinSet::new();
    loop {
        while told.len() < BESIDE
            && let Some(point) = points.pop_front()
        {
            told.spawn(story(Arc::clone(place), point));
        }
        let Some(done) = told.join_next().await else { break };
        let (point, outcome) = done.unwrap();
        // Another time there may be one more.
        if limit.is_none() && outcome.as_ref().is_ok_and(|outcome| *outcome != Outcome::NotReached) {
            let Injection { call, k, .. } = &point.injection;
            let key = (point.threads as usize, point.life as usize, call.clone());
            if counts.get(&key).is_some_and(|count| k > count) {
                let mut next = point.clone();
                next.injection.k += 1;
                points.push_back(next);
            }
        }
        sum.add(&point, outcome);
        if sum.stories.is_multiple_of(100) {
            let left = points.len() + told.len();
            eprintln!("{}; {left} to go, {:.0} s", sum.text(), began.elapsed().as_secs_f64());
        }
    }
    let text = format!(
        "seed {seed}: {} runs, {} in {:.0} s",
        sum.stories,
        sum.text(),
        began.elapsed().as_secs_f64()
    );
    eprintln!("{text}");
    assert!(sum.violations.is_empty(), "{text}\n{}", sum.violations.join("\n\n"));
    assert!(sum.reached > 0, "no fault was reached");
}

/// One story in a task of its own, so that one that cannot be told does not end all others.
async fn story(place: Arc<Place>, point: Point) -> (Point, Result<Outcome, String>) {
    let look = Look::With(point.injection.clone());
    let (threads, life) = (point.threads, point.life);
    let telling = tokio::spawn(async move { Story::new(&place, threads, life, look).await.tell().await });
    let outcome = telling.await.unwrap_or_else(|error| Err(format!("the story broke off: {error}")));
    (point, outcome)
}

#[derive(Default)]
struct Sum {
    stories: usize,
    reached: usize,
    outcomes: BTreeMap<String, usize>,
    violations: Vec<String>,
}

impl Sum {
    fn add(&mut self, point: &Point, outcome: Result<Outcome, String>) {
        self.stories += 1;
        match outcome {
            Ok(outcome) => {
                if outcome == Outcome::StoodStill {
                    eprintln!("stood still: HOTSHOE_FAULT=\"{}\"", point.name());
                }
                self.reached += usize::from(outcome != Outcome::NotReached);
                *self.outcomes.entry(format!("{outcome:?}")).or_default() += 1;
            }
            Err(error) => {
                self.reached += 1;
                let text = format!("HOTSHOE_FAULT=\"{}\": {error}", point.name());
                eprintln!("VIOLATION {text}");
                self.violations.push(text);
            }
        }
    }

    fn text(&self) -> String {
        let Sum { reached, violations, outcomes, .. } = self;
        format!("{reached} faults, {} violations, {outcomes:?}", violations.len())
    }
}

/// Tells an update without a fault for each way and life, and counts its calls.
async fn counts(place: &Arc<Place>) -> Counts {
    let mut counts = Counts::new();
    for (threads, life) in WAYS {
        let mut story = Story::new(place, threads, life, Look::At).await;
        let told = story.tell().await;
        assert_eq!(told, Ok(Outcome::WentOn), "without a fault it must work");
        for (call, count) in counted(&story.trace.as_ref().unwrap().log) {
            counts.insert((threads as usize, life as usize, call), count);
        }
    }
    counts
}

/// How often each call is made, by the thread that makes it most often.
fn counted(log: &str) -> BTreeMap<String, u32> {
    let mut threads: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in log.lines() {
        let (thread, call) = match line.split_once(' ') {
            Some((id, rest)) if id.bytes().all(|byte| byte.is_ascii_digit()) => (id, rest.trim_start()),
            _ => ("", line),
        };
        let name = call.split('(').next().unwrap_or_default();
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name && call.len() > name.len() && name != "restart_syscall" {
            *threads.entry((thread, name)).or_default() += 1;
        }
    }
    let mut calls = BTreeMap::new();
    for ((_, call), count) in threads {
        let most: &mut u32 = calls.entry(call.to_owned()).or_default();
        *most = (*most).max(count);
    }
    calls
}

/// Every call, and one more of each, which may be there another time; for each call all the faults that it can have.
fn calls(counts: &Counts) -> Vec<Vec<Point>> {
    let mut calls = Vec::new();
    for ((threads, life, call), count) in counts {
        for k in 1..=count + 1 {
            let faults = Fault::ALL
                .into_iter()
                .filter(|fault| *fault == Fault::Kill || !ONLY_KILLED.contains(&call.as_str()));
            let points = faults.map(|fault| Point {
                threads: Threads::ALL[*threads],
                life: Life::ALL[*life],
                injection: Injection { call: call.clone(), fault, k },
            });
            calls.push(points.collect());
        }
    }
    calls
}
