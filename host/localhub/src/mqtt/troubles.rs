//! Faults and throttles that were asked for, as a session meets them (see [`crate::faults`], [`crate::throttle`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::login::{Login, Refusal};
use super::protocol::ReturnCode;
use super::session::{End, Session};
use crate::faults::{Ending, Entry, Way, What};
use crate::hub::Hub;
use crate::links::Answer;
use crate::throttle::Operation;

/// Whether a client that may come in is let in, and whether it finds its session.
pub(super) async fn enter(hub: &Arc<Hub>, login: &Login) -> Result<(), Refusal> {
    let refuse = |code, reason: String| Refusal { code, reason };
    let throttled = hub.throttle.pass(Operation::Connect).await;
    throttled.map_err(|fault| refuse(ReturnCode::Unavailable, fault.to_string()))?;
    match hub.faults.entry(&login.name) {
        Entry::Open => Ok(()),
        Entry::Forgotten => {
            let name = login.name.clone();
            let forget = hub.blocking(move |hub| Ok(hub.store.keep_session(&name, None)?));
            forget.await.map_err(|fault| refuse(ReturnCode::Unavailable, fault.to_string()))
        }
        Entry::Unauthorized => Err(refuse(ReturnCode::NotAuthorized, "a fault was asked for".into())),
        Entry::Unavailable => Err(refuse(ReturnCode::Unavailable, "a fault was asked for".into())),
    }
}

impl Session {
    /// How often a message is to be taken from the client or sent to it: not at all, once, or twice. It may take
    /// its time.
    pub(super) async fn passes(&self, what: What) -> Result<usize, End> {
        match self.hub.faults.message(&self.login.name, what) {
            Way::Through => Ok(1),
            Way::Dropped => Ok(0),
            Way::Twice => Ok(2),
            Way::Delayed(by) => {
                self.pause(by).await?;
                Ok(1)
            }
        }
    }

    async fn pause(&self, by: Duration) -> Result<(), End> {
        tokio::select! {
            () = sleep(by) => Ok(()),
            () = self.stop.cancelled() => Err("the hub stops".into()),
        }
    }

    /// Counts a packet of the client's. An error ends the connection.
    pub(super) fn count_packet(&mut self) -> Result<(), End> {
        self.packets += 1;
        match self.hub.faults.packet(&self.login.name, self.packets) {
            None => {}
            Some(Ending::Closed) => return Err("a fault was asked for".into()),
            Some(Ending::Mute) => self.mute = true,
        }
        Ok(())
    }

    /// Hands a method's answer to its caller, now or as late as a fault wants.
    pub(super) fn hand_over(&self, request_id: &str, answer: Answer) {
        let (name, number) = (&self.login.name, self.number);
        let Some(by) = self.hub.faults.late(name) else {
            return self.hub.links.answer(name, number, request_id, answer);
        };
        let (hub, name) = (Arc::downgrade(&self.hub), name.clone());
        let request_id = request_id.to_owned();
        tokio::spawn(async move {
            sleep(by).await;
            if let Some(hub) = hub.upgrade() {
                hub.links.answer(&name, number, &request_id, answer);
            }
        });
    }
}
