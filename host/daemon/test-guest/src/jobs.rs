//! The kinds of jobs.
//!
//! | Kind | Input | What it does |
//! |---|---|---|
//! | `sleepy` | `{runs?}` | asks the host until it would like a suspension, then returns `suspended`; from the next run on it is done |
//! | `later` | `{times?, milliseconds?}` | returns `later` that often (once, 50 ms unless told), then is done |
//! | `transient` | `{times?}` | fails that often (twice unless told), then is done |
//! | `permanent` | – | fails for good |
//! | `trap-job` | – | panics in every run |
//! | `trap-once` | – | stores a checkpoint and panics; done when run again |
//! | `spin-job` | – | loops for ever |
//! | `save-too-large` | – | tries a checkpoint over 16 KiB and is done with the host's text |
//! | `progress` | `{steps?}` | shows that many steps (20 unless told), then is done |
//! | `restart` | – | returns `restart`; done after it, with the slot and whether it was expected |
//!
//! Every kind stores how often it has run as its checkpoint, and is done with `{"runs": n, …}`.

use std::hint::black_box;
use std::time::Duration;

use hotshoe_guest::{Checkpoint, Failure, Job, Outcome, Wake};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::methods::trap;

/// How often the job has run, and ballast.
#[derive(Default, Serialize, Deserialize)]
struct Runs {
    runs: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ballast: String,
}

impl Checkpoint for Runs {
    const SCHEMA: u32 = 1;
    fn phase(&self) -> &str {
        "running"
    }
}

pub(crate) fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
    let input: Value = job.input()?;
    let number = |key: &str, default: u64| input.get(key).and_then(Value::as_u64).unwrap_or(default);
    let before = job.load::<Runs>()?.unwrap_or_default().runs;
    let runs = before + 1;
    job.store(&Runs { runs, ballast: String::new() })?;
    let done = Ok(Outcome::Done(json!({ "runs": runs })));

    match job.kind().as_str() {
        "sleepy" if before >= number("runs", 1) => done,
        "sleepy" => {
            while !job.should_suspend() {
                // The host decides when; asking is a call into it, in which it may wait.
                job.progress("sleeping", runs, None);
            }
            Ok(Outcome::Suspended)
        }
        "later" if before < number("times", 1) => {
            Ok(Outcome::Later(Duration::from_millis(number("milliseconds", 50))))
        }
        "transient" if before < number("times", 2) => {
            Err(Failure::Transient(format!("the test asked for failure {runs}")))
        }
        "later" | "transient" => done,
        "permanent" => Err(Failure::Permanent("the test asked for a failure".to_owned())),
        "trap-job" => trap(),
        "trap-once" if before == 0 => trap(),
        "trap-once" => done,
        "spin-job" => loop {
            black_box(0);
        },
        "save-too-large" => {
            let saved = job.store(&Runs { runs, ballast: "x".repeat(16 * 1024) });
            let text = saved.err().map(|error| error.to_string());
            Ok(Outcome::Done(json!({ "runs": runs, "refused": text })))
        }
        "progress" => {
            let steps = number("steps", 20);
            for step in 0..=steps {
                job.progress("stepping", step, Some(steps));
            }
            done
        }
        "restart" => match job.wake() {
            Wake::Restarted { slot, expected } => {
                Ok(Outcome::Done(json!({ "runs": runs, "slot": slot, "expected": expected })))
            }
            Wake::Started | Wake::Due | Wake::Interrupted => Ok(Outcome::Restart),
        },
        kind => Err(Failure::Permanent(format!("there is no kind {kind}"))),
    }
}
