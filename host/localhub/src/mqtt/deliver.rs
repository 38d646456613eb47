//! From the inbox to the client (`iothub.md` §4.2): at quality of service 1 a message is complete when the client
//! acknowledges it, at 0 when it is sent. How many are on their way at once is bounded ([`super::outbox`]).

use hotshoe_core::topic;
use tokio::time::Instant;

use super::outbox::identifier;
use super::protocol::Protocol;
use super::session::{End, Session, send_all};
use super::wire::Wire;
use crate::clock;
use crate::faults::What;

impl Session {
    /// Sends what waits, as far as there is room; nothing where a fault keeps the connection silent.
    pub(super) async fn deliver(&mut self, wire: &mut impl Wire) -> Result<(), End> {
        let name = self.login.name.clone();
        let prefix = topic::device_bound(name.device_id());
        if self.mute || name.module_id().is_some() || !self.subscriptions.reach_below(&prefix) {
            return Ok(());
        }
        while self.outbox.room() > 0 {
            let (after, room, whose) = (self.outbox.reached(), self.outbox.room(), name.clone());
            let mail =
                self.hub.blocking(move |hub| hub.store.mail(&whose, after, room, clock::now_seconds()));
            let mail = mail.await.map_err(|fault| fault.to_string())?;
            if mail.is_empty() {
                return Ok(());
            }
            let mut done = Vec::new();
            for (number, message) in mail {
                let topic = format!("{prefix}{}", message.bag);
                let body = message.body();
                match self.subscriptions.quality(&topic) {
                    None => self.outbox.pass(number), // its filter is a narrower one: it waits for another
                    Some(0) => {
                        for _ in 0..self.passes(What::Messages).await? {
                            let steps = self.protocol.publish(&topic, &body);
                            send_all(wire, &self.hub, steps).await?;
                        }
                        self.outbox.pass(number);
                        done.push(number);
                    }
                    Some(_) => {
                        let duplicate = self.resumed && message.deliveries > 1;
                        let steps =
                            self.protocol.publish_once_or_more(&topic, &body, identifier(number), duplicate);
                        // A lost one is sent again later, like any that is not acknowledged.
                        self.pace.asked();
                        if self.passes(What::Messages).await? > 0 {
                            send_all(wire, &self.hub, steps).await?;
                        }
                        self.outbox.sent(number, Instant::now());
                    }
                }
            }
            self.complete(done).await?;
        }
        Ok(())
    }

    /// The client has a message, and there is room for another.
    pub(super) async fn acknowledged(&mut self, wire: &mut impl Wire, id: u16) -> Result<(), End> {
        if let Some(number) = self.outbox.acknowledged(id) {
            self.complete(vec![number]).await?;
            self.deliver(wire).await?;
        }
        Ok(())
    }

    /// Sends again what was sent a while ago and not acknowledged.
    pub(super) async fn deliver_again(&mut self, wire: &mut impl Wire) -> Result<(), End> {
        // Asked also where nothing may be sent, so that what is due moves on.
        for number in self.outbox.again(Instant::now()) {
            if self.mute {
                continue;
            }
            let name = self.login.name.clone();
            let letter =
                self.hub.blocking(move |hub| Ok(hub.store.letter(&name, number, clock::now_seconds())?));
            if let Some(message) = letter.await.map_err(|fault| fault.to_string())? {
                let prefix = topic::device_bound(self.login.name.device_id());
                let topic = format!("{prefix}{}", message.bag);
                let steps = Protocol::publish_again(&topic, &message.body(), identifier(number));
                send_all(wire, &self.hub, steps).await?;
            }
        }
        Ok(())
    }

    async fn complete(&self, numbers: Vec<u64>) -> Result<(), End> {
        if numbers.is_empty() {
            return Ok(());
        }
        let name = self.login.name.clone();
        let complete = self.hub.blocking(move |hub| hub.store.complete(&name, &numbers));
        complete.await.map_err(|fault| fault.to_string())
    }
}
