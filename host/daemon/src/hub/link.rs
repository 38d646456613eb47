//! One connection, as the rest of the hub module sees it: somewhere to publish to, and the ways it ends.
//!
//! Publishing never waits: the client's queue is unbounded and what goes into it is bounded by its callers (one
//! twin request, one telemetry message, one answer per accepted call).

use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, PublishNotice, PublishOptions, QoS,
    StateError, SubscribeFilterInput, SubscribeNotice, UnsubscribeNotice,
};
use thiserror::Error;

/// Why a connection ended, or why it never was.
#[derive(Debug, Error)]
pub(super) enum Lost {
    #[error("the hub refused the credential (CONNACK {code}); check key, device id and clock")]
    Refused { code: u8 },
    #[error("the hub sent a packet of {size} bytes, more than this device takes")]
    Oversize { size: usize },
    #[error("the hub refused a subscription: {0}")]
    Subscription(String),
    #[error("the hub did not answer {what} within {} s", timeout.as_secs_f32())]
    Silent { what: &'static str, timeout: Duration },
    #[error("{0}")]
    Link(String),
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword),
            ) => Lost::Refused { code: code as u8 },
            ConnectionError::MqttState(StateError::Deserialization(
                rumqttc::Error::PayloadSizeLimitExceeded(size),
            )) => Lost::Oversize { size },
            other => Lost::Link(other.to_string()),
        }
    }
}

impl From<ClientError> for Lost {
    fn from(error: ClientError) -> Self {
        Lost::Link(error.to_string())
    }
}

/// A handle to publish through one connection.
#[derive(Clone)]
pub(super) struct Link {
    client: AsyncClient,
    number: u64,
}

impl Link {
    /// `number` tells connections of one process apart.
    pub(super) fn new(client: AsyncClient, number: u64) -> Self {
        Link { client, number }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Sent once, not acknowledged by MQTT: for requests whose answer is a message of its own.
    pub(super) fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), Lost> {
        Ok(self.client.try_publish(topic, payload, PublishOptions::at_most_once())?)
    }

    /// Acknowledged by the hub's PUBACK; the notice resolves with it.
    pub(super) fn publish_acknowledged(
        &self,
        topic: String,
        payload: Vec<u8>,
    ) -> Result<PublishNotice, Lost> {
        Ok(self.client.try_publish_tracked(topic, payload, PublishOptions::at_least_once())?)
    }

    pub(super) fn subscribe(&self, filters: &[&str]) -> Result<SubscribeNotice, Lost> {
        let filters = filters.iter().map(|filter| SubscribeFilterInput::new(*filter, QoS::AtLeastOnce));
        Ok(self.client.try_subscribe_many_tracked(filters)?)
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> Result<UnsubscribeNotice, Lost> {
        Ok(self.client.try_unsubscribe_tracked(filter)?)
    }

    /// Ends the connection once what was published is acknowledged, or after `timeout`.
    pub(super) fn disconnect(&self, timeout: Duration) {
        if let Err(error) = self.client.try_disconnect_with_timeout(timeout) {
            tracing::debug!(%error, "the link was gone before it could be closed");
        }
    }
}
