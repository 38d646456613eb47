//! JSON from the command line, from a file or from standard input.

use std::{fs, io::Read};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// Reads JSON: the text itself, `@FILE`, or `@-` for standard input.
///
/// `what` names it in errors: `the payload`.
pub(crate) fn json(argument: &str, what: &str) -> Result<Value, Failure> {
    let (text, from) = match argument.strip_prefix('@') {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| {
                Failure::new(Exit::NoInput, format!("could not read {what} from standard input: {error}"))
            })?;
            (text, " (standard input)".to_owned())
        }
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::new(Exit::NoInput, format!("could not read {what} from {file}: {error}"))
            })?;
            (text, format!(" ({file})"))
        }
        None => (argument.to_owned(), String::new()),
    };
    serde_json::from_str(&text).map_err(|error| {
        let failure = Failure::new(Exit::Data, format!("{what}{from} is not JSON: {error}"));
        match (argument.starts_with('@'), advice(&text)) {
            (false, Some(advice)) => failure.hint(advice),
            _ => failure,
        }
    })
}

/// How to write it instead, for the shell.
fn advice(text: &str) -> Option<String> {
    if text.contains('\'') && text.contains(['{', '[']) {
        return Some("JSON has double quotes; for the shell put single ones around the whole".to_owned());
    }
    if text.contains(['{', '[', '"']) {
        return Some(
            "put single quotes around it, so that the shell leaves its double quotes alone: '{\"a\": 1}'"
                .to_owned(),
        );
    }
    let string = Value::from(text).to_string();
    (!string.contains('\'')).then(|| format!("a text is JSON in double quotes; for the shell: '{string}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_text_is_refused_with_how_to_quote_it() {
        let failure = json("https://h/a.img", "the payload").unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        assert!(failure.text.starts_with("the payload is not JSON: "), "{failure}");
        assert_eq!(
            failure.hint.as_deref(),
            Some("a text is JSON in double quotes; for the shell: '\"https://h/a.img\"'")
        );
        let eaten = json("{fwPackageUri: x}", "the payload").unwrap_err();
        assert!(eaten.hint.unwrap().contains("put single quotes around it"));
        let single = json("{'a': 1}", "the payload").unwrap_err();
        assert!(single.hint.unwrap().contains("JSON has double quotes"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = json("@/no/such/file", "the patch").unwrap_err();
        assert_eq!(failure.exit, Exit::NoInput);
        assert!(failure.text.contains("could not read the patch from /no/such/file"));
    }
}
