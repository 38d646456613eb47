//! `telemetry`: device-to-cloud messages.
//!
//! The queue is the hub's, bounded and shared by all plugins: a full one is an answer, never a wait. Nothing is
//! durable here; what must arrive is reported.

use super::Context;
use super::bindings::hotshoe::plugin::telemetry::{self, Error};
use crate::hub::TelemetryError;

/// How many properties a message may have.
const PROPERTIES: usize = 64;

impl telemetry::Host for Context {
    async fn send(
        &mut self,
        body: String,
        properties: Vec<(String, String)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if !self.tenant.grants.telemetry {
            return Ok(Err(Error::Denied(format!("{} was not granted telemetry", self.tenant.name))));
        }
        if let Err(text) = check(&properties) {
            return Ok(Err(Error::Invalid(text)));
        }
        let body = match serde_json::from_str(&body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(Error::Invalid(format!("the message is not JSON: {error}")))),
        };
        Ok(self.services.telemetry.send(body, properties).map_err(|error| match error {
            TelemetryError::Full { limit } => Error::Full(u32::try_from(limit).unwrap_or(u32::MAX)),
            TelemetryError::ShuttingDown => Error::Full(0),
            other => Error::Invalid(other.to_string()),
        }))
    }
}

/// System properties (`$.…`) are the host's to set.
fn check(properties: &[(String, String)]) -> Result<(), String> {
    if properties.len() > PROPERTIES {
        return Err(format!(
            "a message has at most {PROPERTIES} properties, this one has {}",
            properties.len()
        ));
    }
    match properties.iter().find(|(name, _)| name.is_empty() || name.starts_with('$')) {
        Some((name, _)) => {
            Err(format!("the property {name:?} is not the plugin's: its name is empty or begins with `$`"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn property(name: &str) -> (String, String) {
        (name.to_owned(), "value".to_owned())
    }

    #[test]
    fn system_properties_are_the_hosts() {
        check(&[property("level"), property("a.b")]).unwrap();
        for name in ["", "$.mid", "$.ct"] {
            assert!(check(&[property("level"), property(name)]).is_err(), "{name}");
        }
        assert!(check(&vec![property("level"); 65]).is_err());
    }
}
