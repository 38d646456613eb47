//! What a plugin announces and saves, checked where it comes in.
//!
//! The limits are those of the contract (`wit/types.wit`, `wit/job.wit`). They hold for what is on the disk too:
//! a job record is at most about 128 KiB of input and 22 KiB of checkpoint in base64.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest `kind` and `lane`, in bytes.
pub const NAME_LIMIT: usize = 64;
/// The largest `input`, as JSON text, in bytes.
pub const INPUT_LIMIT: usize = 128 * 1024;
/// The longest `phase` of a checkpoint or of progress, in bytes.
pub const PHASE_LIMIT: usize = 64;
/// The most bytes in a checkpoint.
pub const CHECKPOINT_LIMIT: usize = 16 * 1024;

/// A job that a plugin asks the host to run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobSpec {
    /// What kind of job it is, in the plugin's own words: 1 to 64 of `a-z`, `0-9` and `-`.
    pub kind: String,
    /// What the run is given. At most 128 KiB as JSON text.
    pub input: Value,
    /// At most one job of a plugin holds a lane at a time; `None` runs beside all others.
    pub lane: Option<String>,
}

/// Why an announced job is refused. No retry helps; the plugin is at fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// The `kind` is outside of its grammar.
    #[error("job kind {0:?} is not 1 to {NAME_LIMIT} of a-z, 0-9 and -")]
    Kind(String),
    /// The `lane` is outside of its grammar.
    #[error("job lane {0:?} is not 1 to {NAME_LIMIT} of a-z, 0-9 and -")]
    Lane(String),
    /// The `input` is too large.
    #[error("job input has {0} bytes, the limit is {INPUT_LIMIT}")]
    Input(usize),
}

impl JobSpec {
    /// Checks the grammar and the size; to be called before anything is stored.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !is_name(&self.kind) {
            return Err(SpecError::Kind(shortened(&self.kind)));
        }
        if let Some(lane) = self.lane.as_deref().filter(|lane| !is_name(lane)) {
            return Err(SpecError::Lane(shortened(lane)));
        }
        let size = self.input.to_string().len();
        if size > INPUT_LIMIT {
            return Err(SpecError::Input(size));
        }
        Ok(())
    }
}

/// Where a job stands, as its plugin sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The step, in the plugin's own words. At most 64 bytes.
    pub phase: String,
    /// The version of the layout of `bytes`.
    pub schema: u32,
    /// Anything. At most 16 KiB.
    #[serde(with = "base64_text")]
    pub bytes: Vec<u8>,
}

/// Why a checkpoint is refused. No retry helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The phase is too long.
    #[error("the checkpoint's phase has {0} bytes, the limit is {PHASE_LIMIT}")]
    Phase(usize),
    /// There are too many bytes.
    #[error("the checkpoint has {0} bytes, the limit is {CHECKPOINT_LIMIT}")]
    Bytes(usize),
}

impl CheckpointError {
    /// The limit that was passed, in bytes.
    pub fn limit(&self) -> u32 {
        match self {
            CheckpointError::Phase(_) => PHASE_LIMIT as u32,
            CheckpointError::Bytes(_) => CHECKPOINT_LIMIT as u32,
        }
    }
}

impl Checkpoint {
    /// Checks the sizes; to be called before it is stored.
    pub fn validate(&self) -> Result<(), CheckpointError> {
        if self.phase.len() > PHASE_LIMIT {
            return Err(CheckpointError::Phase(self.phase.len()));
        }
        if self.bytes.len() > CHECKPOINT_LIMIT {
            return Err(CheckpointError::Bytes(self.bytes.len()));
        }
        Ok(())
    }
}

/// How far a step has come, for people who watch. Never written to the disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The step, in the plugin's own words. What is over 64 bytes is cut off.
    pub phase: String,
    /// How much of it is done, in bytes or any unit.
    pub done: u64,
    /// Of how much, where that is known.
    pub total: Option<u64>,
}

fn is_name(text: &str) -> bool {
    (1..=NAME_LIMIT).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_LIMIT + 8).collect()
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(kind: &str, lane: Option<&str>, input: Value) -> JobSpec {
        JobSpec { kind: kind.to_owned(), input, lane: lane.map(str::to_owned) }
    }

    #[test]
    fn a_spec_within_the_limits_is_taken() {
        assert_eq!(spec("update-2", Some("firmware"), json!({"a": 1})).validate(), Ok(()));
        assert_eq!(spec("u", None, Value::Null).validate(), Ok(()));
        assert_eq!(spec(&"k".repeat(64), None, json!("x".repeat(INPUT_LIMIT - 2))).validate(), Ok(()));
    }

    #[test]
    fn each_limit_is_named_when_it_is_passed() {
        assert_eq!(spec("", None, Value::Null).validate(), Err(SpecError::Kind(String::new())));
        assert!(matches!(spec("Up", None, Value::Null).validate(), Err(SpecError::Kind(_))));
        assert!(matches!(spec(&"k".repeat(65), None, Value::Null).validate(), Err(SpecError::Kind(_))));
        assert!(matches!(spec("u", Some("a b"), Value::Null).validate(), Err(SpecError::Lane(_))));
        let large = spec("u", None, json!("x".repeat(INPUT_LIMIT - 1)));
        assert_eq!(large.validate(), Err(SpecError::Input(INPUT_LIMIT + 1)));
    }

    #[test]
    fn a_checkpoint_survives_its_file_and_has_limits() {
        let checkpoint = Checkpoint { phase: "applying".into(), schema: 3, bytes: vec![0, 255, 10, 13] };
        let text = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), checkpoint);
        let long = Checkpoint { phase: "x".repeat(65), ..checkpoint.clone() };
        assert_eq!(long.validate().map_err(|error| error.limit()), Err(64));
        let large = Checkpoint { bytes: vec![0; CHECKPOINT_LIMIT + 1], ..checkpoint };
        assert_eq!(large.validate().map_err(|error| error.limit()), Err(16384));
    }
}
