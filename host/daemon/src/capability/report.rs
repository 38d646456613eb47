//! `report`: the twin's reported properties, the part that is the plugin's.

use std::time::Duration;

use super::Context;
use super::bindings::hotshoe::plugin::report::{self, Error};
use super::ownership::trespass;
use crate::hub::OutboxError;

/// The longest wait for the hub.
const FLUSH_LIMIT: Duration = Duration::from_secs(300);

impl report::Host for Context {
    async fn patch(&mut self, patch: String) -> wasmtime::Result<Result<(), Error>> {
        let patch = match serde_json::from_str::<serde_json::Value>(&patch) {
            Ok(patch) if patch.is_object() => patch,
            Ok(_) => return Ok(Err(Error::Invalid("the patch is not a JSON object".into()))),
            Err(error) => return Ok(Err(Error::Invalid(format!("the patch is not JSON: {error}")))),
        };
        if let Some(path) = trespass(&patch, &self.tenant.reported) {
            return Ok(Err(Error::Denied(denial(&self.tenant.name, &path, &self.tenant.reported))));
        }
        Ok(self.services.outbox.patch(patch).await.map_err(|error| match error {
            OutboxError::Invalid(error) => Error::Invalid(error.to_string()),
            OutboxError::TooLarge { .. } => Error::TooLarge(error.to_string()),
            other => Error::Io(other.to_string()),
        }))
    }

    async fn flush(&mut self, timeout: u64) -> wasmtime::Result<bool> {
        Ok(self.services.outbox.flush(Duration::from_nanos(timeout).min(FLUSH_LIMIT)).await)
    }
}

fn denial(plugin: impl std::fmt::Display, path: &str, owned: &[String]) -> String {
    let path: String = path.chars().take(200).collect();
    if owned.is_empty() {
        return format!("{path}: the manifest of {plugin} names no reported properties");
    }
    format!("{path}: the manifest of {plugin} names {} as its reported properties", owned.join(", "))
}
