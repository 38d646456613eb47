//! `telemetry`: device-to-cloud messages.
//!
//! The queue is the hub's, bounded and shared by all plugins: a full one is an answer, never a wait. Of its places a
//! plugin has a part, and a rate, so that none fills it for the others. Nothing is durable here; what must arrive is
//! reported.

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
        self.entered("telemetry.send");
        let sent = self.queue_message(&body, properties);
        self.answer("telemetry.send", sent)
    }
}

impl Context {
    fn queue_message(&self, body: &str, properties: Vec<(String, String)>) -> Result<(), Error> {
        if !self.tenant.grants.telemetry {
            return Err(Error::Denied(format!("{} was not granted telemetry", self.tenant.name)));
        }
        check(&properties).map_err(Error::Invalid)?;
        let body = serde_json::from_str(body)
            .map_err(|error| Error::Invalid(format!("the message is not JSON: {error}")))?;
        let full = |limit: usize| Error::Full(u32::try_from(limit).unwrap_or(u32::MAX));
        let place = self.tenant.device.allowance.message().map_err(full)?;
        self.services.telemetry.send_in(body, properties, Some(place)).map_err(|error| match error {
            TelemetryError::Full { limit } => full(limit),
            TelemetryError::ShuttingDown => full(0),
            other => Error::Invalid(other.to_string()),
        })
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
