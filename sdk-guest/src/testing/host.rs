//! The host's interfaces with the signatures that `wit-bindgen` gives them, answered by the device of this
//! thread. The wrappers of the crate cannot tell the difference.

pub(crate) mod download;
pub(crate) mod flash;

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
