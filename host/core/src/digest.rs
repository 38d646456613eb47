//! The name of some bytes: an algorithm and 32 bytes.
//!
//! Written `sha256:<64 hex>` or `blake3:<64 hex>` wherever a person or a file sees it; lower case, so that equal
//! digests are equal texts. It promises that a `Digest` is well formed, not that any bytes have it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// How the 32 bytes are made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// SHA-256, what tools and repositories publish.
    Sha256,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
}

impl Algorithm {
    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Blake3 => "blake3",
        }
    }
}

/// A digest of some bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Digest {
    /// How it was made.
    pub algorithm: Algorithm,
    /// The digest itself.
    pub bytes: [u8; 32],
}

impl Digest {
    /// The bytes as 64 lower-case hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A name that every file system takes: `sha256-<64 hex>`.
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm.name(), self.hex())
    }
}

/// Why a text is not a digest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DigestError {
    /// There is no colon.
    #[error("`{0}` is not a digest: write `sha256:` or `blake3:` and 64 hexadecimal digits")]
    NoAlgorithm(String),
    /// The name before the colon is unknown.
    #[error("the digest algorithm `{0}` is unknown: use `sha256` or `blake3`")]
    UnknownAlgorithm(String),
    /// What follows the colon is not 64 hexadecimal digits.
    #[error("a {algorithm} digest has 64 hexadecimal digits after the colon, this one has `{found}`")]
    NotHex {
        /// The algorithm that was named.
        algorithm: &'static str,
        /// What stands in place of the digits.
        found: String,
    },
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Reads `sha256:<64 hex>`. Upper-case digits are taken; the algorithm is lower case.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let Some((name, digits)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm(shortened(text)));
        };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "blake3" => Algorithm::Blake3,
            _ => return Err(DigestError::UnknownAlgorithm(shortened(name))),
        };
        let bytes = bytes_of(digits)
            .ok_or_else(|| DigestError::NotHex { algorithm: algorithm.name(), found: shortened(digits) })?;
        Ok(Digest { algorithm, bytes })
    }
}

fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

/// Keeps a hostile text from filling an error message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_and_value_are_the_same_thing() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest.algorithm, Algorithm::Sha256);
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest.file_name(), EMPTY.replace(':', "-"));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{EMPTY}\"")).unwrap(), digest);
        let blake: Digest = EMPTY.replace("sha256", "blake3").parse().unwrap();
        assert_ne!(blake, digest);
    }

    #[test]
    fn upper_case_digits_are_taken_and_written_in_lower_case() {
        let digest: Digest = format!("sha256:{}", EMPTY[7..].to_uppercase()).parse().unwrap();
        assert_eq!(digest.to_string(), EMPTY);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let told = |text: &str| text.parse::<Digest>().unwrap_err().to_string();
        assert!(told("").contains("write `sha256:`"));
        assert!(told("md5:00").contains("`md5` is unknown"));
        assert!(told("sha256:abc").contains("`abc`"));
        assert!(told(&format!("sha256:{}", "é".repeat(32))).contains("64 hexadecimal digits"));
        assert!(told(&"x".repeat(1_000_000)).len() < 300);
    }
}
