//! TOML read strictly: a key nobody knows is an error that names it, its line and the nearest known one.
//!
//! A misspelt key that is silently ignored is the worst kind of configuration error: the file says one thing and the
//! device does another. The types say what is known: every table's struct must carry `#[serde(deny_unknown_fields)]`,
//! and then this holds at every depth. The known names are read from serde's own message, whose wording is fixed by a
//! test below; should it change, the message is passed on as it is.

use serde::de::DeserializeOwned;

/// Why a TOML text was refused. Lines count from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StrictError {
    /// A key, or a value with a fixed list of names, that is not known.
    #[error("line {line}: {what} `{name}` is unknown{}", hint(.nearest, .known))]
    Unknown {
        /// Where.
        line: usize,
        /// `key` or `value`.
        what: &'static str,
        /// What was written.
        name: String,
        /// The known one that is meant, most likely.
        nearest: Option<String>,
        /// All that are known here.
        known: Vec<String>,
    },
    /// Anything else: not TOML, a wrong type, a missing key, a value out of range.
    #[error("line {line}: {message}")]
    Invalid {
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

fn hint(nearest: &Option<String>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if known.is_empty() => "; none is known here".to_owned(),
        None => format!("; known here: {}", known.join(", ")),
    }
}

/// Reads a TOML text into a type whose structs all carry `#[serde(deny_unknown_fields)]`.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, StrictError> {
    toml::from_str(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        explain(line, error.message())
    })
}

fn explain(line: usize, message: &str) -> StrictError {
    for (prefix, what) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some((name, rest)) = message.strip_prefix(prefix).and_then(|rest| rest.split_once('`')) else {
            continue;
        };
        // "…, expected `a`", "…, expected `a` or `b`", "…, expected one of `a`, `b`, `c`": every second part is a name.
        let known: Vec<String> = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        return StrictError::Unknown { line, what, name: name.to_owned(), nearest, known };
    }
    StrictError::Invalid { line, message: message.to_owned() }
}

/// The known name that a wrong one most likely means, or none when nothing is near.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only what is refused matters here")]
    struct Outer {
        state: Option<String>,
        hub: Option<Hub>,
        #[serde(default)]
        slots: Vec<Slot>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only what is refused matters here")]
    struct Hub {
        connection_string_file: Option<String>,
        keep_alive: Option<String>,
        transport: Option<Transport>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "kebab-case")]
    enum Transport {
        Mqtt,
        Websocket,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only what is refused matters here")]
    struct Slot {
        name: String,
    }

    fn told(text: &str) -> String {
        from_toml::<Outer>(text).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_one_meant() {
        assert_eq!(told("stat = \"x\""), "line 1: key `stat` is unknown; did you mean `state`?");
        assert_eq!(
            told("state = \"x\"\n\n[hub]\nconection_string_file = \"x\""),
            "line 4: key `conection_string_file` is unknown; did you mean `connection_string_file`?"
        );
        assert_eq!(told("[[slots]]\nname = \"a\"\n[[slots]]\nnam = \"b\""), {
            "line 4: key `nam` is unknown; did you mean `name`?"
        });
        assert_eq!(
            told("hub.keepAlive = \"1s\""),
            "line 1: key `keepAlive` is unknown; did you mean `keep_alive`?"
        );
        assert_eq!(told("[hob]"), "line 1: key `hob` is unknown; did you mean `hub`?");
    }

    #[test]
    fn where_nothing_is_near_all_that_is_known_is_told() {
        assert_eq!(told("zzz = 1"), "line 1: key `zzz` is unknown; known here: state, hub, slots");
    }

    #[test]
    fn a_value_of_a_fixed_list_too() {
        assert_eq!(
            told("[hub]\ntransport = \"websockets\""),
            "line 2: value `websockets` is unknown; did you mean `websocket`?"
        );
    }

    #[test]
    fn everything_else_has_its_line() {
        assert!(told("state = ").starts_with("line 1: "));
        assert!(told("\nstate = 3").starts_with("line 2: invalid type: integer `3`, expected a string"));
        assert_eq!(told("[[slots]]"), "line 1: missing field `name`");
        assert!(told("state = \"a\"\nstate = \"b\"").starts_with("line 2: "));
    }
}
