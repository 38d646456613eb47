//! Asks the policy's check: a method of a mounted plugin, through the same door as a call from the hub.
//!
//! The job that wants to go on holds an instance of its own plugin meanwhile. The check needs another one; where none
//! comes free within the method's time, that is a no like any other, so the two never wait for each other for ever.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hotshoe_core::policy::update::Check;
use serde_json::Value;

use crate::gate::Ask;
use crate::plugin::{Reply, Routes};

/// The longest text of an answer that is passed on, in characters.
const TEXT_LIMIT: usize = 256;

/// Asks by the routes.
pub(super) struct Asked(pub(super) Routes);

impl Ask for Asked {
    fn ask<'a>(
        &'a self,
        check: &'a Check,
        question: Value,
        call_id: &'a str,
    ) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let Some(plugin) = self.0.plugin(&check.plugin) else {
                return Err(
                    "the plugin is not mounted; mount it, or take `check` out of [update] in the device's policy"
                        .to_owned(),
                );
            };
            match plugin.call(&check.method, question, call_id).await {
                Ok(Reply::Done(response)) if (200..300).contains(&response.status) => Ok(()),
                Ok(Reply::Done(response)) => Err(format!("{}: {}", response.status, text(&response.payload))),
                Ok(Reply::Accepted { .. }) => {
                    Err("it answered with a job, and a check answers at once".to_owned())
                }
                Err(refusal) => Err(refusal.to_string()),
            }
        }
        .boxed()
    }
}

/// What an answer says: a text, its `reason` or `message`, or all of it.
fn text(payload: &Value) -> String {
    let member = |name| payload.get(name).and_then(Value::as_str);
    let text = payload.as_str().or_else(|| member("reason")).or_else(|| member("message"));
    let text = text.map_or_else(|| payload.to_string(), str::to_owned);
    text.chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_is_what_people_read() {
        assert_eq!(text(&json!("battery at 12 %")), "battery at 12 %");
        assert_eq!(text(&json!({ "reason": "battery at 12 %", "level": 12 })), "battery at 12 %");
        assert_eq!(text(&json!({ "level": 12 })), "{\"level\":12}");
        assert_eq!(text(&json!("x".repeat(1000))).len(), TEXT_LIMIT);
    }
}
