//! Signatures and keys, replaced in what the log keeps.

use std::borrow::Cow;

/// What stands before a secret, in any case: links to storage, tokens, connection strings; JSON, spaced or in a string.
const BEFORE: [&str; 11] = [
    "sig=",
    "sharedaccesskey=",
    "primarykey\":\"",
    "primarykey\": \"",
    "primarykey\\\":\\\"",
    "secondarykey\":\"",
    "secondarykey\": \"",
    "secondarykey\\\":\\\"",
    "password\":\"",
    "password\": \"",
    "password\\\":\\\"",
];
const INSTEAD: &str = "[redacted]";

/// The text with each secret replaced up to where it ends: a `&`, `;`, quote, backslash or space.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::new();
    let mut from = 0;
    while let Some(secret) = next(&lower, from) {
        let rest = text.get(secret..).unwrap_or_default();
        let end = rest.find(|c: char| "&;\"'\\<>".contains(c) || c.is_whitespace()).unwrap_or(rest.len());
        clean.push_str(text.get(from..secret).unwrap_or_default());
        clean.push_str(INSTEAD);
        from = secret + end;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(clean)
}

/// Where the next secret begins.
fn next(lower: &str, from: usize) -> Option<usize> {
    let rest = lower.get(from..)?;
    BEFORE.iter().filter_map(|before| rest.find(before).map(|at| from + at + before.len())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_what_is_around_them_stays() {
        for (text, clean) in [
            (
                "{\"uri\":\"https://s/x?sv=1&sig=abc%3D&se=2\"}",
                "{\"uri\":\"https://s/x?sv=1&sig=[redacted]&se=2\"}",
            ),
            ("HostName=h;SharedAccessKey=k+/=;a", "HostName=h;SharedAccessKey=[redacted];a"),
            ("Sig=a Sig=", "Sig=[redacted] Sig=[redacted]"),
            ("{\"primaryKey\":\"k\"}", "{\"primaryKey\":\"[redacted]\"}"),
            (r#"{"Password": "k", "a": 1}"#, r#"{"Password": "[redacted]", "a": 1}"#),
            (r#""{\"secondaryKey\":\"k\"}""#, r#""{\"secondaryKey\":\"[redacted]\"}""#),
            ("nothing here: é sign=1", "nothing here: é sign=1"),
        ] {
            assert_eq!(redacted(text), clean);
        }
    }
}
