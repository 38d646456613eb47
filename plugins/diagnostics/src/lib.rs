//! Diagnostics: the smallest complete plugin, a model to copy.
//!
//! - `ping` answers with its payload and the device's time,
//! - `deviceFacts` tells what the device is,
//! - `mayUpdate` is a check that an owner can name in the policy (`[update] check`): not in the first ten minutes,
//! - `reboot` restarts it, with the names of the well-known tutorial: the answer `Reboot started`, then the
//!   reported properties `iothubDM.reboot.startedRebootTime` and, after the boot, `lastReboot`.
//!
//! The plugin cannot reboot anything by itself. Its job reports and *returns* [`Outcome::Restart`]; the host
//! stores that, sends what was reported, restarts, and runs the job again.

use std::time::Duration;

use hotshoe_guest::{
    Failure, Job, JobSpec, Outcome, Plugin, Rejection, Reply, Request, Wake, device, report,
};
use serde_json::{Value, json};

/// The plugin.
#[derive(Debug)]
pub struct Diagnostics;

impl Plugin for Diagnostics {
    fn handle(request: Request) -> Result<Reply, Rejection> {
        match request.name.as_str() {
            "ping" => {
                #[cfg(feature = "bug")]
                let _ = bug::word_for(request.parse::<Value>()?.as_u64().unwrap_or_default());
                Ok(Reply::ok(json!({ "echo": request.parse::<Value>()?, "time": device::timestamp() })))
            }
            "deviceFacts" => Ok(Reply::ok(facts())),
            "mayUpdate" => Ok(may_update(device::uptime())),
            "reboot" => Ok(Reply::ok("Reboot started").with_job(JobSpec::new("reboot").lane("reboot"))),
            _ => Err(Rejection::UnknownMethod),
        }
    }

    fn run(job: &Job<'_>) -> Result<Outcome, Failure> {
        match job.wake() {
            // The restart is behind us.
            Wake::Restarted { .. } => {
                let time = device::timestamp();
                report::patch(&json!({ "iothubDM": { "reboot": { "lastReboot": time } } }))?;
                Ok(Outcome::Done(json!({ "lastReboot": time })))
            }
            // Also when the run before was cut short: reporting and asking again does no harm.
            Wake::Started | Wake::Due | Wake::Interrupted => {
                let reboot = json!({ "startedRebootTime": device::timestamp(), "lastReboot": null });
                report::patch(&json!({ "iothubDM": { "reboot": reboot } }))?;
                Ok(Outcome::Restart)
            }
        }
    }
}

/// The bug of a version that is rolled back, for the demo and the tests.
#[cfg(feature = "bug")]
mod bug {
    const WORDS: [&str; 3] = ["none", "one", "two"];

    /// Counts on there being a word for every number.
    #[allow(clippy::indexing_slicing)]
    #[inline(never)]
    pub(super) fn word_for(number: u64) -> &'static str {
        WORDS[number as usize]
    }
}

/// Whether an update may restart the device: 2xx is yes, and anything else puts it off with this reason. Who has just
/// started a device is still looking at it. A battery, a machine at work or a person at the controls are asked alike.
fn may_update(uptime: Duration) -> Reply {
    match uptime >= Duration::from_secs(600) {
        true => Reply::ok("nothing is against it"),
        false => {
            Reply::new(409, json!({ "reason": format!("the device started {} s ago", uptime.as_secs()) }))
        }
    }
}

/// What the device is, as the answer to `deviceFacts`.
fn facts() -> Value {
    let facts = device::facts();
    json!({
        "deviceId": facts.device_id,
        "hostVersion": facts.host_version,
        "os": facts.os,
        "kernel": facts.kernel,
        "architecture": facts.architecture,
        "memoryBytes": facts.memory,
        "uptimeSeconds": device::uptime().as_secs(),
        "clockIsSet": device::clock_is_set(),
        "time": device::timestamp(),
    })
}

hotshoe_guest::export!(Diagnostics);
