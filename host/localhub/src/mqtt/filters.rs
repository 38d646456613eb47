//! Subscriptions of one connection: which filters are known, and which topics they match.

use std::sync::Arc;

use crate::identity::Name;
use crate::store::{Filter, Session};

/// More filters than any SDK uses; IoT Hub documents five per connection.
const MOST: usize = 16;

/// A set of subscriptions, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscriptions(Arc<Vec<Filter>>);

impl Subscriptions {
    pub(crate) fn restored(session: Session) -> Self {
        Self(Arc::new(session.filters))
    }

    /// Adds or replaces a subscription; gives the granted quality of service, which is never 2. `None` when the
    /// hub has no such topics for this client, or when there are too many.
    pub(crate) fn add(&mut self, name: &Name, filter: &str, wanted: u8) -> Option<u8> {
        if !is_known(name, filter) {
            return None;
        }
        let qos = wanted.min(1);
        let filters = Arc::make_mut(&mut self.0);
        filters.retain(|present| present.filter != filter);
        if filters.len() >= MOST {
            return None;
        }
        filters.push(Filter { filter: filter.to_owned(), qos });
        Some(qos)
    }

    pub(crate) fn remove(&mut self, filter: &str) {
        Arc::make_mut(&mut self.0).retain(|present| present.filter != filter);
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.0.iter().any(|filter| matches(&filter.filter, topic))
    }

    /// The quality of service at which a topic is delivered; `None` if nothing matches it.
    pub(crate) fn quality(&self, topic: &str) -> Option<u8> {
        self.0.iter().filter(|filter| matches(&filter.filter, topic)).map(|filter| filter.qos).max()
    }

    /// True if there is a filter for something below this place.
    pub(crate) fn reach_below(&self, prefix: &str) -> bool {
        self.0.iter().any(|filter| filter.filter.starts_with(prefix))
    }

    pub(crate) fn session(&self) -> Session {
        Session { filters: self.0.as_ref().clone() }
    }
}

/// A client may subscribe below these places only. The live hub drops a connection that asks for others.
fn is_known(name: &Name, filter: &str) -> bool {
    const EVERYONE: [&str; 3] =
        ["$iothub/methods/POST/", "$iothub/twin/res/", "$iothub/twin/PATCH/properties/desired/"];
    let own = match name.module_id() {
        None => format!("devices/{}/messages/devicebound/", name.device_id()),
        Some(module) => format!("devices/{}/modules/{module}/", name.device_id()),
    };
    EVERYONE.into_iter().chain([own.as_str()]).any(|prefix| filter.starts_with(prefix))
}

/// MQTT's matching of levels, `+` and a closing `#` (MQTT 3.1.1 §4.7).
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_match_as_mqtt_says() {
        assert!(matches("$iothub/methods/POST/#", "$iothub/methods/POST/reboot/?$rid=1"));
        assert!(matches("$iothub/methods/POST/reboot/#", "$iothub/methods/POST/reboot/?$rid=1"));
        assert!(!matches("$iothub/methods/POST/reboot/#", "$iothub/methods/POST/ping/?$rid=1"));
        assert!(matches("$iothub/methods/POST/+/+", "$iothub/methods/POST/ping/?$rid=1"));
        assert!(matches("a/#", "a") && !matches("a/+", "a") && !matches("a", "a/b"));
    }

    #[test]
    fn only_the_clients_own_topics_are_granted_and_never_at_quality_two() {
        let name = Name::device("d").unwrap();
        let mut subscriptions = Subscriptions::default();
        assert_eq!(subscriptions.add(&name, "$iothub/twin/res/#", 2), Some(1));
        assert_eq!(subscriptions.add(&name, "$iothub/twin/res/#", 0), Some(0));
        assert_eq!(subscriptions.session().filters.len(), 1);
        for foreign in ["#", "$iothub/#", "devices/e/messages/devicebound/#", "sensors/+"] {
            assert_eq!(subscriptions.add(&name, foreign, 0), None, "{foreign}");
        }
    }
}
