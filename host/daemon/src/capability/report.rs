//! `report`: the twin's reported properties, the part that is the plugin's.
//!
//! A twin takes 32 KiB, of everybody together. So each plugin has a part, and all together leave some to the host: a
//! plugin that reports all it can keeps neither another one nor the host from telling what becomes of an update.

use std::sync::Arc;
use std::time::Duration;

use hotshoe_core::twin;
use serde_json::Value;

use super::Context;
use super::allowance::TOO_OFTEN;
use super::bindings::hotshoe::plugin::report::{self, Error};
use super::ownership::{part, trespass};
use crate::hub::OutboxError;

/// The most that a plugin may have reported, in bytes as the hub counts them.
const PART: usize = 8 * 1024;
/// The most of all plugins together.
const PLUGINS: usize = twin::REPORTED_LIMIT - 8 * 1024;
/// The host's own key.
const HOST: &str = "hotshoe";

/// The longest wait for the hub.
const FLUSH_LIMIT: Duration = Duration::from_secs(300);

impl report::Host for Context {
    async fn patch(&mut self, patch: String) -> wasmtime::Result<Result<(), Error>> {
        self.entered("report.patch");
        let patched = self.merge(&patch).await;
        self.answer("report.patch", patched)
    }

    async fn flush(&mut self, timeout: u64) -> wasmtime::Result<bool> {
        self.entered("report.flush");
        Ok(self.services.outbox.flush(Duration::from_nanos(timeout).min(FLUSH_LIMIT)).await)
    }
}

impl Context {
    async fn merge(&mut self, patch: &str) -> Result<(), Error> {
        let patch = match serde_json::from_str::<Value>(patch) {
            Ok(patch) if patch.is_object() => patch,
            Ok(_) => return Err(Error::Invalid("the patch is not a JSON object".into())),
            Err(error) => return Err(Error::Invalid(format!("the patch is not JSON: {error}"))),
        };
        let tenant = Arc::clone(&self.tenant);
        if let Some(path) = trespass(&patch, &tenant.reported) {
            return Err(Error::Denied(denial(&tenant.name, &path, &tenant.reported)));
        }
        let allowance = &tenant.device.allowance;
        if !allowance.reports.take(1.0).await {
            return Err(Error::Io(TOO_OFTEN.to_owned()));
        }
        // One patch of the plugin at a time, so that two together are not more than its part.
        let _alone = allowance.reporting.lock().await;
        fits(&self.services.outbox.reported(), &patch, &tenant.reported).map_err(Error::TooLarge)?;
        self.services.outbox.patch(patch).await.map_err(|error| match error {
            OutboxError::Invalid(error) => Error::Invalid(error.to_string()),
            OutboxError::TooLarge { .. } => Error::TooLarge(error.to_string()),
            other => Error::Io(other.to_string()),
        })
    }
}

/// Whether there is room for a patch. What makes the properties smaller always fits.
fn fits(reported: &Value, patch: &Value, owned: &[String]) -> Result<(), String> {
    let room = |mut document: Value, limit: usize| {
        let before = twin::size(&document);
        twin::merge(&mut document, patch);
        let size = twin::size(&document);
        if size > limit && size >= before { Err(size) } else { Ok(()) }
    };
    room(part(reported, owned), PART).map_err(|size| {
        format!(
            "the plugin's part of the reported properties would be {size} bytes, of which it may have {PART}"
        )
    })?;
    let mut plugins = reported.clone();
    if let Some(members) = plugins.as_object_mut() {
        members.remove(HOST);
    }
    room(plugins, PLUGINS).map_err(|size| {
        format!("what all plugins report would be {size} bytes, of which the host leaves them {PLUGINS}")
    })
}

fn denial(plugin: impl std::fmt::Display, path: &str, owned: &[String]) -> String {
    let path: String = path.chars().take(200).collect();
    if owned.is_empty() {
        return format!("{path}: the manifest of {plugin} names no reported properties");
    }
    format!("{path}: the manifest of {plugin} names {} as its reported properties", owned.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_has_its_part_and_leaves_the_host_the_rest() {
        let owned = ["mine".to_owned()];
        let text = |length: usize| "x".repeat(length);
        let patch = json!({"mine": {"a": text(4000), "b": text(4000)}});
        fits(&json!({}), &patch, &owned).unwrap();
        let reported = json!({"mine": {"c": text(4000)}, "yours": text(4000), "hotshoe": text(20_000)});
        let error = fits(&reported, &patch, &owned).unwrap_err();
        assert!(error.contains("part"), "{error}");
        fits(&reported, &json!({"mine": {"c": null, "a": text(10)}}), &owned).unwrap();

        let full = json!({"yours": vec![text(4000); 6], "hotshoe": text(4000)});
        let error = fits(&full, &json!({"mine": text(2000)}), &owned).unwrap_err();
        assert!(error.contains("all plugins"), "{error}");
        fits(&full, &json!({"mine": null}), &owned).unwrap();
    }
}
