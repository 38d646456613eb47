//! Messages from the cloud to a device: kept until the device has acknowledged them (`iothub.md` §4.2).
//!
//! Each device has an inbox of at most [`MOST`] messages. A message is durable before its sender hears that it was
//! taken, and leaves the inbox when the device acknowledges it, when its time is over, when an operator purges the
//! inbox, or with the device. Nothing else takes it away: over MQTT a device can neither reject nor abandon, so an
//! unacknowledged message comes again, on the next connection or a minute later on this one
//! ([`crate::mqtt`]).
//!
//! A sender may ask to hear of the end ([`Ack`]); that is written in the same transaction that removes the message,
//! and read over REST ([`feedback`]). Expiry is noticed when the inbox is looked at, not by a timer.
//!
//! IoT Hub takes such messages over AMQP alone. This hub takes them at an endpoint of its own
//! ([`crate::rest`], `POST /localhub/devices/{id}/messages`) and from Rust ([`Hub::send_message`]).

pub(crate) mod feedback;

use std::sync::Arc;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hotshoe_core::topic;
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fault::Fault;
use crate::hub::{Hub, unknown};
use crate::identity::Name;

/// How many messages may wait for one device.
pub(crate) const MOST: usize = 50;
/// Body and properties together, in bytes.
const LARGEST: usize = 64 * 1024;
/// The longest topic that MQTT can carry.
const LONGEST_TOPIC: usize = 65_535;
/// How long a message lives if its sender says nothing, and between what bounds he may say it.
const LIFE: Duration = Duration::from_secs(3600);
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(2 * 24 * 3600);

/// Which ends of a message its sender wants to hear of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// None.
    #[default]
    None,
    /// That the device acknowledged it.
    Positive,
    /// That it expired or was purged.
    Negative,
    /// Either.
    Full,
}

impl Ack {
    /// Reads `none`, `positive`, `negative` or `full`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Positive, Self::Negative, Self::Full].into_iter().find(|ack| ack.text() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

/// A message as its sender gives it.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// `$.mid`; one is made if there is none.
    pub message_id: Option<String>,
    /// `$.cid`.
    pub correlation_id: Option<String>,
    /// `$.uid`.
    pub user_id: Option<String>,
    /// `$.ct`.
    pub content_type: Option<String>,
    /// `$.ce`.
    pub content_encoding: Option<String>,
    /// Which ends to tell.
    pub ack: Ack,
    /// One minute to two days; an hour if nothing is said.
    pub time_to_live: Option<Duration>,
    /// Application properties. Names that begin with `$.` or `iothub-` are the hub's.
    pub properties: Vec<(String, String)>,
    /// The body: any bytes.
    pub body: Bytes,
}

/// What the sender gets back.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Posted {
    /// The message's id, his own or the one made.
    pub message_id: String,
    /// Its place in the device's inbox; counts up for ever.
    pub sequence_number: u64,
}

/// A message in an inbox, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    /// The property bag, encoded as it goes into the topic.
    pub(crate) bag: String,
    /// The body in base64.
    body: String,
    pub(crate) message_id: String,
    pub(crate) ack: Ack,
    /// When it was taken, as text.
    pub(crate) enqueued: String,
    /// When it is over, in seconds since the epoch.
    pub(crate) expires: u64,
    /// How often it was sent to the device.
    pub(crate) deliveries: u32,
    /// The generation of the identity it is for.
    pub(crate) generation: String,
}

impl Message {
    pub(crate) fn body(&self) -> Bytes {
        STANDARD.decode(&self.body).unwrap_or_default().into()
    }

    #[cfg(test)]
    pub(crate) fn for_tests(message_id: &str, ack: Ack, expires: u64) -> Self {
        Self {
            bag: String::new(),
            body: String::new(),
            message_id: message_id.into(),
            ack,
            enqueued: "then".into(),
            expires,
            deliveries: 0,
            generation: "1".into(),
        }
    }
}

impl Hub {
    /// Puts a message into a device's inbox and wakes the device, if it is connected and listens.
    pub async fn send_message(self: &Arc<Self>, name: &Name, message: Outgoing) -> Result<Posted, Fault> {
        if name.module_id().is_some() {
            let text = format!("{name} is a module; messages from the cloud go to devices alone");
            return Err(Fault::ArgumentInvalid(text));
        }
        let (name, message_id) = (name.clone(), message.message_id.clone().unwrap_or_else(make_id));
        self.blocking(move |hub| {
            let record = hub.store.record(&name)?.ok_or_else(|| unknown(&name))?;
            let stored = prepare(&name, message_id.clone(), message, record.identity.generation_id)?;
            let sequence_number = hub.store.post(&name, &stored, clock::now_seconds())?;
            hub.links.wake(&name);
            Ok(Posted { message_id, sequence_number })
        })
        .await
    }

    /// Empties a device's inbox; gives how many messages there were.
    pub(crate) async fn purge_messages(self: &Arc<Self>, name: &Name) -> Result<usize, Fault> {
        self.record(name).await?;
        let name = name.clone();
        self.blocking(move |hub| hub.store.purge(&name)).await
    }

    /// How many messages wait for a device. Blocks, briefly.
    pub(crate) fn waiting_messages(&self, name: &Name) -> Result<usize, Fault> {
        if name.module_id().is_some() {
            return Ok(0);
        }
        Ok(self.store.waiting(name, clock::now_seconds())?)
    }
}

fn make_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

fn prepare(name: &Name, message_id: String, message: Outgoing, generation: String) -> Result<Message, Fault> {
    let life = message.time_to_live.unwrap_or(LIFE);
    if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&life) {
        let text = format!("the time to live is 60 s to 2 days, not {} s", life.as_secs());
        return Err(Fault::ArgumentInvalid(text));
    }
    if message_id.is_empty() || message_id.len() > 128 {
        return Err(Fault::ArgumentInvalid("the message id is 1 to 128 characters".into()));
    }
    if let Some((own, _)) = message.properties.iter().find(|(property, _)| is_reserved(property)) {
        let text = format!(
            "the property {own:?} is not the application's: names in `$.` and `iothub-` are the hub's"
        );
        return Err(Fault::ArgumentInvalid(text));
    }
    let expires = clock::now_seconds().saturating_add(life.as_secs());
    let to = format!("/devices/{}/messages/deviceBound", name.device_id());
    let said_expiry = message.time_to_live.map(|_| clock::text_of(expires));
    let system = [
        ("$.mid", Some(message_id.as_str())),
        ("$.cid", message.correlation_id.as_deref()),
        ("$.uid", message.user_id.as_deref()),
        ("$.ct", message.content_type.as_deref()),
        ("$.ce", message.content_encoding.as_deref()),
        ("$.exp", said_expiry.as_deref()),
        ("iothub-ack", (message.ack != Ack::None).then(|| message.ack.text())),
    ];
    let system = system.into_iter().filter(|(_, value)| value.is_some());
    let application = message.properties.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
    let all: Vec<_> = [("$.to", Some(to.as_str()))].into_iter().chain(system).chain(application).collect();
    let size = message.body.len()
        + all.iter().map(|(name, value)| name.len() + value.map_or(0, str::len)).sum::<usize>();
    let bag = topic::device_bound_bag(all);
    if size > LARGEST || topic::device_bound(name.device_id()).len() + bag.len() > LONGEST_TOPIC {
        let text = format!("the message has {size} bytes, properties included; at most {LARGEST} fit");
        return Err(Fault::TooLarge(text));
    }
    Ok(Message {
        bag,
        body: STANDARD.encode(&message.body),
        message_id,
        ack: message.ack,
        enqueued: clock::now_text(),
        expires,
        deliveries: 0,
        generation,
    })
}

fn is_reserved(property: &str) -> bool {
    property.is_empty() || property.starts_with("$.") || property.starts_with("iothub-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(message: Outgoing) -> Result<Message, Fault> {
        prepare(&Name::device("d").unwrap(), "m".into(), message, "1".into())
    }

    #[test]
    fn the_bag_leads_with_the_hubs_own_properties() {
        let message = Outgoing {
            content_type: Some("application/json".into()),
            ack: Ack::Full,
            properties: vec![("colour".into(), "light blue".into())],
            ..Outgoing::default()
        };
        assert_eq!(
            prepared(message).unwrap().bag,
            "%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound&%24.mid=m&%24.ct=application%2Fjson&iothub-ack=full\
             &colour=light%20blue"
        );
    }

    #[test]
    fn what_does_not_fit_or_is_not_the_senders_is_refused() {
        let sized = |bytes: usize| Outgoing { body: vec![0; bytes].into(), ..Outgoing::default() };
        assert!(prepared(sized(65_000)).is_ok());
        assert_eq!(prepared(sized(65_536)).unwrap_err().status(), 413);
        let wide = ("a".to_owned(), "/".repeat(30_000)); // three bytes each in the topic
        assert_eq!(
            prepared(Outgoing { properties: vec![wide], ..Outgoing::default() }).unwrap_err().status(),
            413
        );
        for name in ["$.to", "iothub-ack", ""] {
            let properties = vec![(name.to_owned(), "x".to_owned())];
            assert_eq!(
                prepared(Outgoing { properties, ..Outgoing::default() }).unwrap_err().status(),
                400,
                "{name}"
            );
        }
        for seconds in [59, 2 * 24 * 3600 + 1] {
            let time_to_live = Some(Duration::from_secs(seconds));
            assert_eq!(prepared(Outgoing { time_to_live, ..Outgoing::default() }).unwrap_err().status(), 400);
        }
    }
}
