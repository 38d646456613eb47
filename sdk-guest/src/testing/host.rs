//! The host's interfaces with the signatures that `wit-bindgen` gives them, answered by the device of this
//! thread. The wrappers of the crate cannot tell the difference.

use super::state::{State, call, call_or_die};

pub(crate) mod job {
    use super::call;
    use crate::bindings::hotshoe::plugin::job::{Checkpoint, Error, Progress, Wake};

    #[derive(Debug)]
    pub(crate) struct Job {
        id: String,
    }

    impl Job {
        pub(crate) fn new(id: &str) -> Job {
            Job { id: id.to_owned() }
        }

        pub(crate) fn id(&self) -> String {
            call("job.id", |_| self.id.clone())
        }

        pub(crate) fn kind(&self) -> String {
            call("job.kind", |state| state.jobs.record(&self.id).spec.kind.clone())
        }

        pub(crate) fn input(&self) -> String {
            call("job.input", |state| state.jobs.record(&self.id).spec.input.to_string())
        }

        pub(crate) fn wake(&self) -> Wake {
            call("job.wake", |state| state.jobs.record(&self.id).wake.clone())
        }

        pub(crate) fn attempt(&self) -> u32 {
            call("job.attempt", |state| state.jobs.record(&self.id).attempt)
        }

        pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
            call("job.checkpoint", |state| state.jobs.record(&self.id).checkpoint.clone())
        }

        pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
            call("job.save", |state| {
                if state.fails("job.save") {
                    return Err(Error::Io("the test asked for it".to_owned()));
                }
                if checkpoint.phase.len() > 64 {
                    return Err(Error::TooLarge(64));
                }
                if checkpoint.bytes.len() > 16 * 1024 {
                    return Err(Error::TooLarge(16 * 1024));
                }
                state.jobs.record(&self.id).checkpoint = Some(checkpoint.clone());
                Ok(())
            })
        }

        pub(crate) fn progress(&self, _progress: &Progress) {
            call("job.progress", |_| ());
        }

        pub(crate) fn should_suspend(&self) -> bool {
            call("job.should-suspend", |state| state.suspend || state.jobs.record(&self.id).cancelled)
        }

        pub(crate) fn cancelled(&self) -> bool {
            call("job.cancelled", |state| state.jobs.record(&self.id).cancelled)
        }
    }
}

pub(crate) mod download {
    use std::fmt::Write;
    use std::rc::Rc;

    use sha2::{Digest, Sha256};

    use super::{State, call};
    use crate::bindings::hotshoe::plugin::download::{DigestMismatch, Error, Purpose, Request, SizeMismatch};
    use crate::testing::state::{CANCELLED, Stored};

    #[derive(Debug)]
    pub(crate) struct Artifact {
        digest: String,
        pub(super) stored: Stored,
    }

    impl Artifact {
        pub(crate) fn digest(&self) -> String {
            call("artifact.digest", |_| self.digest.clone())
        }

        pub(crate) fn size(&self) -> u64 {
            call("artifact.size", |_| self.stored.bytes.len() as u64)
        }

        pub(crate) fn origin(&self) -> String {
            call("artifact.origin", |_| self.stored.origin.clone())
        }

        pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
            call("artifact.read", |_| {
                let length = length.min(crate::download::READ_LIMIT) as usize;
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.stored.bytes.len());
                let end = start.saturating_add(length).min(self.stored.bytes.len());
                Ok(self.stored.bytes.get(start..end).unwrap_or_default().to_vec())
            })
        }
    }

    pub(crate) fn fetch(request: &Request) -> Result<Artifact, Error> {
        call("download.fetch", |state| find(state, request))
    }

    fn find(state: &mut State, request: &Request) -> Result<Artifact, Error> {
        if state.jobs.is_cancelled() {
            return Err(Error::Denied(CANCELLED.to_owned()));
        }
        let url = &request.url;
        if !url.starts_with("https://") {
            return Err(Error::InvalidUrl(format!("{url} is not https")));
        }
        if state.manifest.as_ref().is_some_and(|manifest| !manifest.grants.allows_url(url)) {
            return Err(Error::Denied(format!("the manifest does not ask for {url}")));
        }
        if let Some(digest) = request.digest.as_ref().filter(|digest| !is_sha256(digest)) {
            return Err(Error::InvalidDigest(format!(
                "{digest} is no SHA-256, and the fake device knows no other"
            )));
        }
        if state.digests_wanted && request.purpose == Purpose::Firmware && request.digest.is_none() {
            return Err(Error::Untrusted(
                "the policy firmware.unsigned is digest, and there is none".to_owned(),
            ));
        }
        if let Some(digest) = &request.digest
            && let Some(stored) = state.artifacts.get(digest)
        {
            return Ok(Artifact { digest: digest.clone(), stored: stored.clone() });
        }
        if state.fails("download.fetch") {
            return Err(Error::Io("the test asked for it".to_owned()));
        }
        if state.interrupted_fetches > 0 {
            state.interrupted_fetches -= 1;
            return Err(Error::Interrupted("the test asked for it".to_owned()));
        }
        let bytes = match state.files.get(url) {
            Some(Ok(bytes)) => Rc::clone(bytes),
            Some(Err(status)) => return Err(Error::Status(*status)),
            None => return Err(Error::Status(404)),
        };
        let size = bytes.len() as u64;
        *state.fetched.entry(url.clone()).or_default() += size;
        if let Some(expected) = request.size.filter(|expected| *expected != size) {
            return Err(Error::Size(SizeMismatch { expected, actual: size }));
        }
        let actual = sha256(&bytes);
        if let Some(expected) = request.digest.clone().filter(|expected| *expected != actual) {
            return Err(Error::Digest(DigestMismatch { expected, actual }));
        }
        let stored = Stored { bytes, origin: url.clone() };
        state.artifacts.insert(actual.clone(), stored.clone());
        Ok(Artifact { digest: actual, stored })
    }

    pub(in crate::testing) fn is_sha256(digest: &str) -> bool {
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower))
    }

    pub(in crate::testing) fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

pub(crate) mod flash {
    use super::{State, call, call_or_die, download};
    use crate::bindings::hotshoe::plugin::flash::{Activation, Error, Postponement, Slot};
    use crate::testing::state::CANCELLED;

    /// A call that needs the grant.
    fn granted<T>(name: &'static str, code: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        call(name, |state| allowed(state, name).and_then(|()| code(state)))
    }

    fn allowed(state: &mut State, name: &str) -> Result<(), Error> {
        if state.jobs.is_cancelled() && !matches!(name, "flash.slots" | "flash.revert") {
            return Err(Error::Denied(CANCELLED.to_owned()));
        }
        if state.manifest.as_ref().is_some_and(|manifest| !manifest.grants.flash) {
            return Err(Error::Denied("the manifest does not ask for flash".to_owned()));
        }
        if state.fails(name) {
            return Err(Error::Io("the test asked for it".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn slots() -> Result<Vec<Slot>, Error> {
        granted("flash.slots", |state| Ok(state.slots.list()))
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

        pub(crate) fn seal(&self, version: &str) -> Result<(), Error> {
            granted("staging.seal", |state| state.slots.seal(&self.slot, version))
        }
    }
}

pub(crate) mod report {
    use super::call;
    use crate::bindings::hotshoe::plugin::report::Error;
    use crate::testing::twin;

    pub(crate) fn patch(patch: &str) -> Result<(), Error> {
        call("report.patch", |state| {
            if state.fails("report.patch") {
                return Err(Error::Io("the test asked for it".to_owned()));
            }
            let patch = serde_json::from_str(patch).map_err(|error| Error::Invalid(error.to_string()))?;
            let owned = state.manifest.as_ref().map(|manifest| manifest.reported.as_slice());
            twin::patch(&mut state.reported, &patch, owned)?;
            state.patches.push(patch);
            Ok(())
        })
    }

    pub(crate) fn flush(_timeout: u64) -> bool {
        call("report.flush", |_| true)
    }
}

pub(crate) mod desired {
    use super::call;
    use crate::bindings::hotshoe::plugin::types::Document;

    pub(crate) fn current() -> Option<Document> {
        call("desired.current", |state| state.desired.clone())
    }
}

pub(crate) mod storage {
    use super::{State, call};
    use crate::bindings::hotshoe::plugin::storage::Error;

    fn allowed(state: &mut State, name: &str) -> Result<u64, Error> {
        let limit = state.manifest.as_ref().map_or(u64::MAX, |manifest| manifest.grants.storage());
        if limit == 0 {
            return Err(Error::Denied("the manifest does not ask for storage".to_owned()));
        }
        if state.fails(name) {
            return Err(Error::Io("the test asked for it".to_owned()));
        }
        Ok(limit)
    }

    fn check(key: &str) -> Result<(), Error> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if key.is_empty() || key.len() > 64 || !key.bytes().all(plain) {
            return Err(Error::InvalidKey(key.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        call("storage.get", |state| {
            allowed(state, "storage.get")?;
            check(key)?;
            Ok(state.storage.get(key).cloned())
        })
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        call("storage.set", |state| {
            let limit = allowed(state, "storage.set")?;
            check(key)?;
            let others = state.storage.iter().filter(|(name, _)| *name != key);
            let used: usize = others.map(|(name, value)| name.len() + value.len()).sum();
            if (used + key.len() + value.len()) as u64 > limit {
                return Err(Error::Full(limit));
            }
            state.storage.insert(key.to_owned(), value.to_vec());
            Ok(())
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        call("storage.delete", |state| {
            allowed(state, "storage.delete")?;
            check(key)?;
            state.storage.remove(key);
            Ok(())
        })
    }

    pub(crate) fn keys() -> Result<Vec<String>, Error> {
        call("storage.keys", |state| {
            allowed(state, "storage.keys")?;
            Ok(state.storage.keys().cloned().collect())
        })
    }
}

pub(crate) mod telemetry {
    use super::call;
    use crate::bindings::hotshoe::plugin::telemetry::Error;

    pub(crate) fn send(body: &str, properties: &[(String, String)]) -> Result<(), Error> {
        call("telemetry.send", |state| {
            if state.manifest.as_ref().is_some_and(|manifest| !manifest.grants.telemetry) {
                return Err(Error::Denied("the manifest does not ask for telemetry".to_owned()));
            }
            let body = serde_json::from_str(body).map_err(|error| Error::Invalid(error.to_string()))?;
            state.messages.push((body, properties.to_vec()));
            Ok(())
        })
    }
}

pub(crate) mod log {
    use super::call;
    use crate::log::Level;
    use crate::testing::LogLine;

    pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
        call("log.write", |state| {
            state.log.push(LogLine { level, message: message.to_owned(), fields: fields.to_vec() });
        });
    }
}

pub(crate) mod device {
    use super::call;
    use crate::bindings::hotshoe::plugin::device::DeviceFacts;

    pub(crate) fn facts() -> DeviceFacts {
        call("device.facts", |_| DeviceFacts {
            device_id: "device".to_owned(),
            host_version: "0.0.0-test".to_owned(),
            os: "Test OS 1".to_owned(),
            kernel: "1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            memory: 1 << 30,
        })
    }

    pub(crate) fn uptime() -> u64 {
        call("device.uptime", |state| u64::from(state.seconds) * 1_000_000_000)
    }

    pub(crate) fn clock_is_set() -> bool {
        call("device.clock-is-set", |_| true)
    }

    pub(crate) fn timestamp() -> String {
        call("device.timestamp", |state| {
            state.seconds = (state.seconds + 1) % 86_400;
            let (hours, minutes) = (state.seconds / 3600, state.seconds / 60 % 60);
            format!("2026-01-01T{hours:02}:{minutes:02}:{:02}Z", state.seconds % 60)
        })
    }

    pub(crate) fn settings() -> String {
        call("device.settings", |state| state.settings.to_string())
    }
}
