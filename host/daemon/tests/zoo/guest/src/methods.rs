//! What no call of the host does.
//!
//! | Method | Payload | What it does |
//! |---|---|---|
//! | `try` | calls | makes them, see `calls` |
//! | `storm` | `{"milliseconds", "call"}` | makes a call for so long |
//! | `askForEver` | a call | makes it for ever |
//! | `sleep` | – | sleeps for an hour |
//! | `clocks` | – | the finest step of each clock, in nanoseconds |
//! | `outside` | – | what of files, variables, arguments and processes there is |
//! | `connect` | address | opens a connection |
//! | `print` | lines | prints that many, and one without an end |
//! | `random` | bytes | asks for so many at once |
//! | `exit` | status | exits |
//! | `panic` | bytes | panics with a text of that length |
//! | `hoard` | – | takes memory for ever |
//! | `forgeHandle` | number | uses a handle that it was never given |
//! | `answer` | `{"text"}`, `{"size"}` or `{"depth"}` | answers that, which need not be JSON |
//! | `raw` | a program | makes the calls of it as they are underneath, see `raw` |
//! | `announce` | `{"kind", "size", "lane"}` | announces such a job |

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use hotshoe_guest::bindings::exports::hotshoe::plugin::methods::{Acceptance, Rejection, Reply, Response};
use hotshoe_guest::bindings::hotshoe::plugin::{device, job, types};
use serde_json::{Value, json};

use crate::calls;

pub(crate) fn handle(name: &str, payload: &Value) -> Result<Reply, Rejection> {
    let size = usize::try_from(payload.as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
    match name {
        "try" => Ok(done(&calls::all(payload, None))),
        "storm" => Ok(done(&storm(payload))),
        "askForEver" => loop {
            let _ = black_box(calls::one(payload, None));
        },
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(done(&Value::Null))
        }
        "clocks" => Ok(done(&clocks())),
        "outside" => Ok(done(&outside())),
        "connect" => {
            let connected = std::net::TcpStream::connect(payload.as_str().unwrap_or_default());
            Ok(done(&json!(format!("{connected:?}"))))
        }
        "print" => {
            for line in 0..size {
                println!("a line {line}\u{1b}[31m\rERROR forged");
            }
            eprint!("{}", "without an end ".repeat(100_000));
            Ok(done(&Value::Null))
        }
        "random" => {
            let table: std::collections::HashMap<u8, u8> = std::collections::HashMap::new();
            Ok(done(&json!(format!("{table:?}"))))
        }
        "exit" => std::process::exit(i32::from(payload.as_u64() != Some(0))),
        "panic" => trap(&"x".repeat(size)),
        "hoard" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 1 << 16]));
            }
        }
        "forgeHandle" => Ok(done(&json!(forged(payload)))),
        "raw" => Ok(done(&crate::raw::run(payload))),
        "answer" => Ok(answer(payload)),
        "announce" => Ok(announce(payload)),
        _ => Err(Rejection::UnknownMethod),
    }
}

fn done(payload: &Value) -> Reply {
    Reply::Done(Response { status: 200, payload: payload.to_string() })
}

fn storm(payload: &Value) -> Value {
    let time = Duration::from_millis(payload.get("milliseconds").and_then(Value::as_u64).unwrap_or(500));
    let begin = Instant::now();
    calls::tell(std::iter::from_fn(|| (begin.elapsed() < time).then(|| calls::one(payload, None))))
}

/// The smallest difference that each clock shows, 0 where it never moved.
fn clocks() -> Value {
    let begin = Instant::now();
    let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    json!({
        "monotonic": finest(|| begin.elapsed().as_nanos()),
        "wall": finest(since),
        "uptime": finest(|| u128::from(device::uptime())),
    })
}

fn finest(clock: impl Fn() -> u128) -> u64 {
    let (mut last, mut finest) = (clock(), u128::MAX);
    for _ in 0..20_000 {
        let now = clock();
        let step = now.abs_diff(last);
        if step > 0 {
            finest = finest.min(step);
        }
        last = now;
    }
    u64::try_from(finest).unwrap_or_default()
}

fn outside() -> Value {
    let files = ["/etc/passwd", "/", ".", "../../../../etc/shadow", "/proc/self/environ", "/dev/mem", "C:\\"];
    let read = |name: &str| format!("{:?}", std::fs::read(name).map(|bytes| bytes.len()));
    let listed = |name: &str| format!("{:?}", std::fs::read_dir(name).map(|entries| entries.count()));
    let written = |name: &str| format!("{:?}", std::fs::write(name, "zoo"));
    let all: Vec<String> = files.iter().flat_map(|name| [read(name), listed(name), written(name)]).collect();
    json!({
        "files": all,
        "opened": all.iter().filter(|text| text.starts_with("Ok")).count(),
        "variables": std::env::vars().count(),
        "arguments": std::env::args().count(),
    })
}

#[allow(unsafe_code)]
fn forged(payload: &Value) -> String {
    let number = u32::try_from(payload.as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
    // SAFETY: none. The host must see that the number is of nothing that was lent.
    let forged = unsafe { job::Job::from_handle(number) };
    forged.id()
}

fn answer(payload: &Value) -> Reply {
    let number = |key: &str| payload.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let payload = match (payload.get("text").and_then(Value::as_str), number("size"), number("depth")) {
        (Some(text), ..) => text.to_owned(),
        (_, Some(size), _) => format!("\"{}\"", "x".repeat(size)),
        (.., depth) => "[".repeat(depth.unwrap_or_default()),
    };
    Reply::Done(Response { status: i32::MIN, payload })
}

fn announce(payload: &Value) -> Reply {
    let word = |key: &str| payload.get(key).and_then(Value::as_str).map(str::to_owned);
    let size = payload.get("size").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    Reply::Accepted(Acceptance {
        response: Response { status: 200, payload: "null".to_owned() },
        job: types::JobSpec {
            kind: word("kind").unwrap_or_else(|| "try".to_owned()),
            input: format!("\"{}\"", "x".repeat(size.unwrap_or_default())),
            lane: word("lane"),
        },
    })
}

/// A panic, which aborts.
#[allow(clippy::panic)]
fn trap(text: &str) -> ! {
    panic!("{text}")
}
