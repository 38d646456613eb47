//! The desired section `firmware` (iothub.md §10.8): an update that the twin asks for.
//!
//! Served where the setting `dialects` names `firmware`. The host hands the section over after each connection,
//! so an image that has failed or fallen back would be tried for ever: what failed last is kept, and the same
//! order is refused until the section changes. The direct method tries again in any case.

use hotshoe_guest::{Decision, Document, report, storage, warn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dialect::{self, Dialect};
use crate::payload::{self, Order};
use crate::update::running_version;

/// The key under which the last failure is kept.
const FAILURE: &str = "failure";

/// The last update that failed.
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
        Ok(None) => Decision::Applied,
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
    let running = running_version();
    if running.as_ref() == Some(wanted) {
        tell(&json!({
            "currentFwVersion": running, "pendingFwVersion": null,
            "fwUpdateStatus": "current", "fwUpdateSubstatus": "Firmware already up to date",
        }));
        return Decision::Applied;
    }
    if let Some(failed) = last_failure().filter(|failed| failed.order == *order) {
        return Decision::Refused(format!("this update has failed already: {}", failed.message));
    }
    match crate::job(order) {
        Ok(job) => Decision::Started(job),
        Err(error) => Decision::Refused(error.to_string()),
    }
}

/// Keeps an order that has failed, and why.
pub(crate) fn remember_failure(order: &Order, message: &str) {
    let failed = Failed { order: order.clone(), message: message.to_owned() };
    let kept = serde_json::to_vec(&failed)
        .map_err(|error| error.to_string())
        .and_then(|bytes| storage::set(FAILURE, &bytes).map_err(|error| error.to_string()));
    if let Err(reason) = kept {
        warn!("the failure could not be kept: the desired section may ask for the same update again"; reason);
    }
}

/// Forgets the order that failed last: an update has come through since.
pub(crate) fn forget_failure() {
    if let Err(reason) = storage::delete(FAILURE) {
        warn!("the last failure could not be forgotten"; reason);
    }
}

fn last_failure() -> Option<Failed> {
    serde_json::from_slice(&storage::get(FAILURE).ok()??).ok()
}

fn tell(words: &Value) {
    if let Err(reason) = report::patch(&json!({ "firmware": words })) {
        warn!("the state of the firmware could not be reported"; reason);
    }
}
