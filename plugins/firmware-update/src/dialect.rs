//! What the twin says: one course of events, told in the words of each tutorial (iothub.md §10).
//!
//! | | `python` (10.5) | `iothubDM` (10.1, 10.3) | `firmware` (10.8) |
//! |---|---|---|---|
//! | accepted | `standBy` | `waiting` | – |
//! | fetching | `downloading` | `downloading` | `downloading` |
//! | fetched | `downloading`, `downloadComplete` | `downloadComplete` | `verifying` |
//! | writing | `applying` | `applying` | `applying` |
//! | restarting | – | – | `rebooting` |
//! | done | `completed` | `applyComplete` | `current` |
//! | failed | `failed` | `downloadFailed`, `applyFailed` | `error` |
//! | fallen back | `rolledBack` | `applyFailed` | `rolledback` |
//! | put off | `applying`, `firmwarePostponed` | `applying`, `postponed` | `applying` |
//! | cancelled | `cancelled` | `downloadFailed`, `applyFailed` | `error` |
//!
//! The last two are no tutorial's. An update that is put off keeps the word that a watcher knows, and says why beside
//! it; one that was cancelled ends with the dialect's closest word, and `cancelled` as the error's code.
//!
//! All dialects of one event go into one patch, so the twin never tells them apart.

use hotshoe_guest::{device, warn};
use serde_json::{Map, Value, json};

use crate::payload::Order;
use crate::trouble::{Stage, Trouble};

/// A set of words for the twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Flat keys: `firmwareStatus` and times.
    Python,
    /// `iothubDM.firmwareUpdate.status` and times.
    IothubDm,
    /// `firmware.fwUpdateStatus`, versions and times; the desired section `firmware` is served with it.
    Firmware,
}

/// What the version that runs again is called where it is not known.
pub const BEFORE: &str = "the version before";

/// Something the twin is told.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// The update was accepted. Clears what an earlier one left.
    Waiting {
        /// What was ordered.
        order: &'a Order,
        /// The version that runs now, where it is known.
        running: Option<&'a str>,
    },
    /// The image is being fetched.
    Downloading,
    /// The image is here and is what it should be.
    Downloaded,
    /// The image is being written to the slot.
    Applying {
        /// Which slot.
        slot: &'a str,
    },
    /// The device restarts into the slot, on trial.
    Restarting,
    /// The trial boot is confirmed.
    Completed {
        /// The version that runs now.
        version: &'a str,
    },
    /// The device's policy puts the restart off.
    Postponed {
        /// Why, for people.
        reason: &'a str,
        /// When it is asked again, in seconds.
        seconds: u64,
    },
    /// An operator has cancelled the update.
    Cancelled {
        /// How far it had come.
        stage: Stage,
        /// The version that boots now, where it is known.
        boots: Option<&'a str>,
    },
    /// The update has failed.
    Failed {
        /// Why.
        trouble: &'a Trouble,
        /// The version that boots now, where it is known: a trial that ran is given up.
        boots: Option<&'a str>,
    },
    /// The boot loader fell back to the slot from before.
    RolledBack {
        /// The version that runs now, where it is known.
        running: Option<&'a str>,
        /// What happened, for people.
        message: &'a str,
    },
}

/// The dialects that the device's settings name, or `python`. Names that are not known are logged and left out.
pub fn chosen() -> Vec<Dialect> {
    let settings: Value = device::settings().unwrap_or_default();
    let Some(names) = settings.get("dialects") else { return vec![Dialect::Python] };
    let mut dialects = Vec::new();
    for name in names.as_array().into_iter().flatten() {
        match name.as_str() {
            Some("python") => dialects.push(Dialect::Python),
            Some("iothubDM") => dialects.push(Dialect::IothubDm),
            Some("firmware") => dialects.push(Dialect::Firmware),
            _ => {
                warn!("the setting dialects names one that is not known: there are python, iothubDM and firmware"; name)
            }
        }
    }
    if dialects.is_empty() {
        warn!("the setting dialects names none that is known: python is spoken"; dialects = names);
        dialects.push(Dialect::Python);
    }
    dialects
}

/// The patch that tells the news in these dialects at this time.
pub fn patch(dialects: &[Dialect], news: News<'_>, now: &str) -> Value {
    let mut patch = Map::new();
    for dialect in dialects {
        let words = match dialect {
            Dialect::Python => python(news, now),
            Dialect::IothubDm => json!({ "iothubDM": { "firmwareUpdate": iothub_dm(news, now) } }),
            Dialect::Firmware => json!({ "firmware": firmware(news, now) }),
        };
        if let Value::Object(words) = words {
            patch.extend(words);
        }
    }
    Value::Object(patch)
}

fn python(news: News<'_>, now: &str) -> Value {
    match news {
        News::Waiting { .. } => json!({
            "firmwareStatus": "standBy", "logTime": now, "firmwareError": null,
            "downloadComplete": null, "startedApplyingImage": null, "lastFirmwareUpdate": null,
            "firmwarePostponed": null,
        }),
        News::Downloading => json!({ "firmwareStatus": "downloading" }),
        News::Downloaded => json!({ "downloadComplete": now }),
        News::Applying { .. } => json!({ "firmwareStatus": "applying", "startedApplyingImage": now }),
        News::Restarting => json!({ "firmwarePostponed": null }),
        News::Postponed { reason, seconds } => {
            json!({ "firmwareStatus": "applying", "firmwarePostponed": postponed(reason, seconds) })
        }
        News::Completed { .. } => json!({
            "firmwareStatus": "completed", "lastFirmwareUpdate": now, "firmwareError": null,
            "firmwarePostponed": null,
        }),
        News::Cancelled { .. } => json!({
            "firmwareStatus": "cancelled", "firmwareError": cancelled(), "firmwarePostponed": null,
        }),
        News::Failed { trouble, .. } => json!({
            "firmwareStatus": "failed", "firmwareError": error(trouble), "firmwarePostponed": null,
        }),
        News::RolledBack { message, .. } => json!({
            "firmwareStatus": "rolledBack", "firmwareError": rolled_back(message), "firmwarePostponed": null,
        }),
    }
}

fn iothub_dm(news: News<'_>, now: &str) -> Value {
    match news {
        News::Waiting { order, .. } => json!({
            "status": "waiting", "fwPackageUri": order.shown_uri(), "startedWaitingTime": now, "error": null,
            "downloadCompleteTime": null, "startedApplyingImage": null, "lastFirmwareUpdate": null,
            "postponed": null,
        }),
        News::Downloading => json!({ "status": "downloading" }),
        News::Downloaded => json!({ "status": "downloadComplete", "downloadCompleteTime": now }),
        News::Applying { .. } => json!({ "status": "applying", "startedApplyingImage": now }),
        News::Restarting => json!({ "postponed": null }),
        News::Postponed { reason, seconds } => {
            json!({ "status": "applying", "postponed": postponed(reason, seconds) })
        }
        News::Completed { .. } => {
            json!({ "status": "applyComplete", "lastFirmwareUpdate": now, "error": null, "postponed": null })
        }
        News::Cancelled { stage, .. } => {
            json!({ "status": failed(stage), "error": cancelled(), "postponed": null })
        }
        News::Failed { trouble, .. } => {
            json!({ "status": failed(trouble.stage), "error": error(trouble), "postponed": null })
        }
        News::RolledBack { message, .. } => {
            json!({ "status": "applyFailed", "error": rolled_back(message), "postponed": null })
        }
    }
}

fn failed(stage: Stage) -> &'static str {
    match stage {
        Stage::Download => "downloadFailed",
        Stage::Apply => "applyFailed",
    }
}

fn firmware(news: News<'_>, now: &str) -> Value {
    let status =
        |status: &str, substatus: &str| json!({ "fwUpdateStatus": status, "fwUpdateSubstatus": substatus });
    let ended = |current: Option<&str>, status: &str, substatus: &str| {
        json!({
            "currentFwVersion": current,
            "fwUpdateStatus": status, "fwUpdateSubstatus": substatus,
            "pendingFwVersion": null, "lastFwUpdateEndTime": now,
        })
    };
    match news {
        News::Waiting { order, running } => json!({
            "currentFwVersion": running, "pendingFwVersion": order.version, "fwUpdateSubstatus": "Accepted",
            "lastFwUpdateStartTime": now, "lastFwUpdateEndTime": null,
        }),
        News::Downloading => status("downloading", "Start downloading"),
        News::Downloaded => status("verifying", "Finished downloading"),
        News::Applying { slot } => status("applying", &format!("Writing slot {slot}")),
        News::Restarting => status("rebooting", "Restarting on trial"),
        News::Completed { version } => json!({
            "currentFwVersion": version, "pendingFwVersion": null, "fwUpdateStatus": "current",
            "fwUpdateSubstatus": "Firmware up to date", "lastFwUpdateEndTime": now,
        }),
        News::Postponed { reason, .. } => status("applying", reason),
        News::Cancelled { boots, .. } => ended(boots, "error", "Cancelled by an operator"),
        News::Failed { trouble, boots } => ended(boots, "error", &trouble.message),
        News::RolledBack { running, .. } => {
            ended(running, "rolledback", &format!("Rolled back to: {}", running.unwrap_or(BEFORE)))
        }
    }
}

fn error(trouble: &Trouble) -> Value {
    json!({ "code": trouble.code, "message": trouble.message })
}

fn cancelled() -> Value {
    json!({ "code": "cancelled", "message": "the update was cancelled by an operator of the device" })
}

fn postponed(reason: &str, seconds: u64) -> Value {
    json!({ "reason": reason, "retryAfterSeconds": seconds })
}

fn rolled_back(message: &str) -> Value {
    json!({ "code": "rolledBack", "message": message })
}
