//! The name of a job.
//!
//! It appears in a twin (as a key), in a file name, in logs and in a 409's message, so it is kept to lower-case
//! letters and digits: nothing in it needs quoting anywhere. It is chosen at random, outside of this crate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest job id that is taken, in bytes.
pub const ID_LIMIT: usize = 32;

/// The name of a job, unique on its device: 1 to 32 of `a-z` and `0-9`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// Why a text is not a job id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("job id {text:?} is not 1 to {ID_LIMIT} lower-case letters and digits")]
pub struct JobIdError {
    text: String,
}

impl JobId {
    /// Makes a job id of 13 digits and letters out of 64 random bits.
    pub fn from_random(mut bits: u64) -> JobId {
        const DIGITS: [char; 36] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i',
            'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
        ];
        let mut text = String::with_capacity(13);
        for _ in 0..13 {
            let digit = usize::try_from(bits % 36).unwrap_or_default();
            text.push(DIGITS.get(digit).copied().unwrap_or('0'));
            bits /= 36;
        }
        JobId(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<JobId, JobIdError> {
        let fits = (1..=ID_LIMIT).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Ok(JobId(text.to_owned()));
        }
        Err(JobIdError { text: text.chars().take(2 * ID_LIMIT).collect() })
    }
}

impl TryFrom<String> for JobId {
    type Error = JobIdError;

    fn try_from(text: String) -> Result<JobId, JobIdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bits_make_an_id_that_parses() {
        for bits in [0, 1, 35, 36, u64::MAX, 0x1234_5678_9abc_def0] {
            let id = JobId::from_random(bits);
            assert_eq!(id.as_str().parse::<JobId>().as_ref(), Ok(&id));
        }
        assert_ne!(JobId::from_random(1), JobId::from_random(u64::MAX));
    }

    #[test]
    fn what_would_need_quoting_is_refused() {
        for text in ["", "A", "a b", "a.b", "a/b", "../x", "é", &"a".repeat(33)] {
            assert!(text.parse::<JobId>().is_err(), "{text:?}");
        }
    }
}
