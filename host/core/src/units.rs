//! Sizes and durations as people write them in configuration.
//!
//! A size is a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`; a duration a whole number and one
//! of `ms`, `s`, `m`, `h`, `d`. A number alone is refused, unless it is 0: whoever reads the file should not have to
//! wonder what it counts. For serde: `#[serde(with = "hotshoe_core::units::size")]`, and `optional_…` for options.

use std::time::Duration;

/// Why a text is not a size or a duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnitError {
    /// It does not begin with a whole number.
    #[error("`{text}` is not a {what}: write a whole number and a unit, like `{example}`")]
    NoNumber {
        /// What was read.
        text: String,
        /// `size` or `duration`.
        what: &'static str,
        /// One that is.
        example: &'static str,
    },
    /// The unit is missing or unknown.
    #[error("`{text}` has no known unit: a {what} ends in one of {units}")]
    Unit {
        /// What was read.
        text: String,
        /// `size` or `duration`.
        what: &'static str,
        /// Those that are known.
        units: &'static str,
    },
    /// It does not fit.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads a size in bytes: `64KiB`, `10MB`, `0`. Blanks before the unit are taken.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text, "size", "64KiB")?;
    let factor = match unit {
        "" if number == 0 => 1,
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => {
            let units = "B, KiB, MiB, GiB, KB, MB, GB";
            return Err(UnitError::Unit { text: text.to_owned(), what: "size", units });
        }
    };
    number.checked_mul(factor).ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// Reads a duration: `500ms`, `5s`, `60m`, `2h`, `30d`, `0`. Blanks before the unit are taken.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text, "duration", "5s")?;
    let factor = match unit {
        "" if number == 0 => 1,
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(UnitError::Unit { text: text.to_owned(), what: "duration", units: "ms, s, m, h, d" });
        }
    };
    let milliseconds = number.checked_mul(factor).ok_or_else(|| UnitError::TooLarge(text.to_owned()))?;
    Ok(Duration::from_millis(milliseconds))
}

fn split<'a>(text: &'a str, what: &'static str, example: &'static str) -> Result<(u64, &'a str), UnitError> {
    let trimmed = text.trim();
    let end = trimmed.find(|character: char| !character.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::NoNumber { text: text.to_owned(), what, example });
    }
    let number = digits.parse().map_err(|_| UnitError::TooLarge(text.to_owned()))?;
    Ok((number, unit.trim_start()))
}

/// Writes a size with the largest binary unit that divides it: `64KiB`.
pub fn format_size(bytes: u64) -> String {
    for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// Writes a duration with the largest unit that divides it: `5s`. Fractions of a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (factor, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if milliseconds >= factor && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}

macro_rules! serde_module {
    ($(#[$doc:meta])* $name:ident, $optional:ident, $type:ty, $parse:path, $format:path) => {
        $(#[$doc])*
        pub mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de};

            /// Reads it from a text.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                $parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }

            /// Writes it as a text.
            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$format(*value))
            }
        }

        /// The same where it may be missing; needs `#[serde(default)]` beside it.
        pub mod $optional {
            use serde::{Deserialize, Deserializer, Serializer, de};

            /// Reads it from a text, if there is one.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<$type>, D::Error> {
                let text = Option::<String>::deserialize(deserializer)?;
                text.map(|text| $parse(&text)).transpose().map_err(de::Error::custom)
            }

            /// Writes it as a text, if there is one.
            pub fn serialize<S: Serializer>(value: &Option<$type>, serializer: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => serializer.serialize_some(&$format(*value)),
                    None => serializer.serialize_none(),
                }
            }
        }
    };
}

serde_module! {
    /// A size in bytes (`u64`) as a text, for serde's `with`.
    size, optional_size, u64, crate::units::parse_size, crate::units::format_size
}
serde_module! {
    /// A [`Duration`](std::time::Duration) as a text, for serde's `with`.
    duration, optional_duration, std::time::Duration, crate::units::parse_duration, crate::units::format_duration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("0KiB", 0),
            ("12B", 12),
            ("64KiB", 65_536),
            (" 64 KiB ", 65_536),
            ("1MiB", 1_048_576),
            ("10MB", 10_000_000),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes), "{text}");
        }
        for text in
            ["", "64", "KiB", "-1KiB", "1.5MiB", "1kib", "1 K i B", "18446744073709551616B", "99999999999GiB"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_size("64").unwrap_err().to_string(),
            "`64` has no known unit: a size ends in one of B, KiB, MiB, GiB, KB, MB, GB"
        );
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("60m", 3_600_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            let again = format_duration(Duration::from_millis(milliseconds));
            assert_eq!(parse_duration(&again), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "5", "s", "5 seconds", "1h30m", "-5s", "99999999999999999999s", "999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
