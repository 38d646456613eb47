//! The slots, and images on their way into them.

use super::{State, call, call_or_die, download};
use crate::bindings::hotshoe::plugin::flash::{Activation, Error, Group, Postponement, ReceiveError, Slot};
use crate::testing::state::CANCELLED;

/// A call that needs the grant.
fn granted<T>(name: &'static str, code: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
    call(name, |state| allowed(state, name).and_then(|()| code(state)))
}

fn allowed(state: &mut State, name: &str) -> Result<(), Error> {
    if state.manifest.as_ref().is_some_and(|manifest| !manifest.grants.flash) {
        return Err(Error::Denied("the manifest does not ask for flash".to_owned()));
    }
    if state.jobs.is_cancelled() && !matches!(name, "flash.slots" | "flash.groups" | "flash.revert") {
        return Err(Error::Denied(CANCELLED.to_owned()));
    }
    if state.fails(name) {
        return Err(Error::Io("the test asked for it".to_owned()));
    }
    Ok(())
}

pub(crate) fn slots() -> Result<Vec<Slot>, Error> {
    granted("flash.slots", |state| Ok(state.slots.list()))
}

pub(crate) fn groups() -> Result<Vec<Group>, Error> {
    granted("flash.groups", |state| Ok(state.slots.groups()))
}

pub(crate) fn activate(slot: &str) -> Result<(), Error> {
    granted("flash.activate", |state| match state.postponements.pop_front() {
        Some((reason, _)) => Err(Error::Busy(reason)),
        None => state.slots.activate(slot),
    })
}

pub(crate) fn activate_if_allowed(slot: &str) -> Result<Activation, Error> {
    granted("flash.activate-if-allowed", |state| match state.postponements.pop_front() {
        Some((reason, retry_after)) => Ok(Activation::Postponed(Postponement { reason, retry_after })),
        None => state.slots.activate(slot).map(|()| Activation::Armed),
    })
}

pub(crate) fn confirm() -> Result<(), Error> {
    granted("flash.confirm", |state| state.slots.confirm())
}

pub(crate) fn revert() -> Result<(), Error> {
    granted("flash.revert", |state| {
        state.slots.revert();
        Ok(())
    })
}

#[derive(Debug)]
pub(crate) struct Staging {
    slot: String,
}

impl Staging {
    pub(crate) fn open(slot: &str, digest: &str) -> Result<Staging, Error> {
        granted("staging.open", |state| {
            if !download::is_sha256(digest) {
                return Err(Error::InvalidDigest(digest.to_owned()));
            }
            let job = state.jobs.running().unwrap_or_default();
            state.slots.open(slot, digest, &job)?;
            Ok(Staging { slot: slot.to_owned() })
        })
    }

    pub(crate) fn written(&self) -> u64 {
        call("staging.written", |state| state.slots.written(&self.slot))
    }

    pub(crate) fn append(&self, bytes: &[u8]) -> Result<u64, Error> {
        granted("staging.append", |state| state.slots.append(&self.slot, bytes))
    }

    pub(crate) fn append_artifact(&self, artifact: &download::Artifact) -> Result<u64, Error> {
        let (name, file) = ("staging.append-artifact", &artifact.stored.bytes);
        let half = |state: &mut State| {
            let _ = state.slots.append_rest(&self.slot, file, file.len() / 2);
        };
        call_or_die(name, half, |state| {
            allowed(state, name)?;
            state.slots.append_rest(&self.slot, file, file.len())
        })
    }

    pub(crate) fn receive(&self, source: &download::Source) -> Result<u64, ReceiveError> {
        let name = "staging.receive";
        let half = |state: &mut State| {
            let _ = self.receive_up_to(state, source, |length| length / 2);
        };
        call_or_die(name, half, |state| {
            allowed(state, name).map_err(ReceiveError::Flash)?;
            self.receive_up_to(state, source, |length| length)
        })
    }

    /// What is there already is not fetched again.
    fn receive_up_to(
        &self,
        state: &mut State,
        source: &download::Source,
        end: impl Fn(usize) -> usize,
    ) -> Result<u64, ReceiveError> {
        if state.slots.staged_for(&self.slot).as_ref() != Some(&source.digest) {
            return Err(ReceiveError::Flash(Error::DigestMismatch(source.digest.clone())));
        }
        let file = download::served(state, &source.url).map_err(ReceiveError::Download)?;
        let before = state.slots.written(&self.slot);
        let written = state.slots.append_rest(&self.slot, &file, end(file.len()));
        let received = state.slots.written(&self.slot).saturating_sub(before);
        *state.fetched.entry(source.url.clone()).or_default() += received;
        written.map_err(ReceiveError::Flash)
    }

    pub(crate) fn seal(&self, version: &str) -> Result<(), Error> {
        granted("staging.seal", |state| state.slots.seal(&self.slot, version))
    }
}
