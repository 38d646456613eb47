//! The desired section `firmware` (iothub.md §10.8): an update that the twin asks for.
//!
//! Served where the setting `dialects` names `firmware`. The host hands the section over with each new version of the
//! desired properties, whatever has changed in them, and with each new version of the plugin. So an image that has failed
//! or fallen back would be tried again and again: the orders that failed are kept, and refused until the section changes.
//! The direct method tries again in any case.

use hotshoe_guest::{Decision, Document, report, storage, warn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dialect::{self, Dialect};
use crate::payload::{self, Order};
use crate::update::confirmed_version;

/// The key under which failures are kept.
const FAILURES: &str = "failure";

/// How many are kept: the section's own, and those of direct methods since.
const KEPT: usize = 8;

/// An update that failed.
#[derive(Serialize, Deserialize)]
struct Failed {
    order: Order,
    message: String,
}

/// Takes a change of the section.
pub fn apply(document: &Document) -> Decision {
    if !dialect::chosen().contains(&Dialect::Firmware) {
        return Decision::Refused(
            "the desired section firmware is not served: the plugin's setting dialects does not name firmware"
                .to_owned(),
        );
    }
    let order = document.parse::<Map<String, Value>>().and_then(|members| match members.is_empty() {
        true => Ok(None),
        false => payload::from_members(&members).map(Some),
    });
    match order {
        // Nothing is wanted: a section that was emptied.
        Ok(None) => {
            forget_failures(|_| true);
            Decision::Applied
        }
        Ok(Some(order)) => decide(&order),
        Err(text) => {
            tell(&json!({ "fwUpdateStatus": "error", "fwUpdateSubstatus": text }));
            Decision::Refused(text)
        }
    }
}

fn decide(order: &Order) -> Decision {
    let Some(wanted) = &order.version else {
        return Decision::Refused(
            "fwVersion is missing: it decides whether there is anything to do".to_owned(),
        );
    };
    // A trial that nobody has confirmed may be gone at the next boot.
    let running = confirmed_version();
    if running.as_ref() == Some(wanted) {
        tell(&json!({
            "currentFwVersion": running, "pendingFwVersion": null,
            "fwUpdateStatus": "current", "fwUpdateSubstatus": "Firmware already up to date",
        }));
        return Decision::Applied;
    }
    if let Some(failed) = failures().into_iter().find(|failed| failed.order == *order) {
        return Decision::Refused(format!("this update has failed already: {}", failed.message));
    }
    // The section has changed.
    forget_failures(|_| true);
    match crate::job(order) {
        Ok(job) => Decision::Started(job),
        Err(error) => Decision::Refused(error.to_string()),
    }
}

/// Keeps an order that has failed, and why.
pub(crate) fn remember_failure(order: &Order, message: &str) {
    let mut failures = failures();
    failures.retain(|failed| failed.order != *order);
    failures.push(Failed { order: order.clone(), message: message.to_owned() });
    let surplus = failures.len().saturating_sub(KEPT);
    failures.drain(..surplus);
    while let Err(reason) = keep(&failures) {
        warn!("a failure could not be kept: the desired section may ask for the same update again"; reason);
        // Less of them may fit; the one of now counts most.
        if failures.len() < 2 {
            return;
        }
        failures.remove(0);
    }
}

/// Forgets that this order has failed: it has come through since.
pub(crate) fn forget_failure(order: &Order) {
    forget_failures(|failed| failed == order);
}

fn forget_failures(forgotten: impl Fn(&Order) -> bool) {
    let known = failures();
    let (gone, left): (Vec<_>, Vec<_>) = known.into_iter().partition(|failed| forgotten(&failed.order));
    if !gone.is_empty()
        && let Err(reason) = keep(&left)
    {
        warn!("a failure could not be forgotten"; reason);
    }
}

fn keep(failures: &[Failed]) -> Result<(), String> {
    if failures.is_empty() {
        return storage::delete(FAILURES).map_err(|error| error.to_string());
    }
    let bytes = serde_json::to_vec(failures).map_err(|error| error.to_string())?;
    storage::set(FAILURES, &bytes).map_err(|error| error.to_string())
}

/// The failures that are kept, the last one last. Versions before kept one alone.
fn failures() -> Vec<Failed> {
    let Ok(Some(bytes)) = storage::get(FAILURES) else { return Vec::new() };
    let one = || serde_json::from_slice(&bytes).map(|failed| vec![failed]);
    serde_json::from_slice(&bytes).or_else(|_| one()).unwrap_or_default()
}

fn tell(words: &Value) {
    if let Err(reason) = report::patch(&json!({ "firmware": words })) {
        warn!("the state of the firmware could not be reported"; reason);
    }
}
