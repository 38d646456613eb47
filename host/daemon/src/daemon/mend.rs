//! The host's own methods that mend a device: `hotshoe.safeMode.leave` and `hotshoe.slots.running`.

use hotshoe_core::method::MethodResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::safe_mode::SafeMode;
use crate::disk::blocking;
use crate::flash::{Flash, FlashError};

/// `{}` or nothing. Starts the host anew, out of safe mode and with all plugins.
pub(super) const LEAVE: &str = "hotshoe.safeMode.leave";
/// `{slot}`. Says which slot runs, where neither the kernel nor the boot loader does.
pub(super) const RUNNING: &str = "hotshoe.slots.running";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Running {
    slot: String,
}

/// Starts the host anew, once the call is answered.
pub(super) fn leave(safe_mode: &SafeMode, again: &CancellationToken) -> MethodResponse {
    let was = safe_mode.reason().is_some();
    safe_mode.leave();
    tracing::warn!("starting anew: safe mode is left by order");
    again.cancel();
    MethodResponse { status: 200, payload: json!({ "wasInSafeMode": was }) }
}

/// Settles which slot runs.
pub(super) async fn running(flash: &Flash, payload: &Value) -> MethodResponse {
    let slot = match Running::deserialize(payload) {
        Ok(Running { slot }) => slot,
        Err(error) => {
            return refused(400, "invalidPayload", &format!("the payload is not {{slot}}: {error}"));
        }
    };
    let flash = flash.clone();
    let running = slot.clone();
    match blocking(move || flash.declare_running(&running)).await {
        Ok(Ok(())) => {
            tracing::warn!(slot, "an operator has said which slot runs");
            MethodResponse { status: 200, payload: json!({ "running": slot }) }
        }
        Ok(Err(error @ FlashError::UnknownSlot(..))) => refused(404, "unknownSlot", &error.to_string()),
        Ok(Err(error @ (FlashError::Busy(_) | FlashError::Unknown(_)))) => {
            refused(409, "conflict", &error.to_string())
        }
        Ok(Err(error)) => refused(500, "failed", &error.to_string()),
        Err(error) => refused(500, "failed", &error.to_string()),
    }
}

fn refused(status: i32, code: &str, message: &str) -> MethodResponse {
    MethodResponse { status, payload: json!({ "error": { "code": code, "message": message } }) }
}
