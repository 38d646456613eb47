//! From characters to tokens. Every token knows the number of its first character, counted from one, for the texts
//! of errors.

use serde_json::{Number, Value};

use crate::fault::Fault;

/// The longest text that is read: room for the ids of a thousand devices in one `IN`.
const LONGEST: usize = 128 * 1024;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A keyword, a function or a path: its segments, and whether the first stood in `[[…]]`.
    Words(Vec<String>, bool),
    Constant(Value),
    Symbol(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

impl Token {
    /// The token as an error quotes it.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            Kind::Words(words, _) => format!("{:?}", words.join(".")),
            Kind::Constant(value) => value.to_string(),
            Kind::Symbol(symbol) => format!("{symbol:?}"),
            Kind::End => "the end".into(),
        }
    }
}

/// The fault of a text that is no query.
pub(super) fn wrong(at: usize, text: &str) -> Fault {
    Fault::ArgumentInvalid(format!("the query, at character {at}: {text}"))
}

/// Longer symbols first.
const SYMBOLS: [&str; 18] =
    ["<>", "!=", "<=", ">=", "==", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ","];

/// All tokens of a text; the last is [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    if text.len() > LONGEST {
        let text = format!("the query has {} bytes, more than {LONGEST}", text.len());
        return Err(Fault::ArgumentInvalid(text));
    }
    let mut lexer = Lexer { rest: text, at: 1 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        let end = token.kind == Kind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Token, Fault> {
        self.take_while(char::is_whitespace);
        let at = self.at;
        let kind = match self.rest.chars().next() {
            None => Kind::End,
            Some(quote @ ('\'' | '"')) => Kind::Constant(Value::String(self.text(quote)?)),
            Some(digit) if digit.is_ascii_digit() => Kind::Constant(Value::Number(self.number()?)),
            Some(first) if of_word(first) || self.rest.starts_with("[[") => self.words()?,
            Some(other) => {
                let found = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol));
                let symbol = found.ok_or_else(|| wrong(at, &format!("{other:?} means nothing here")))?;
                self.skip(symbol.len());
                Kind::Symbol(if *symbol == "==" { "=" } else { symbol })
            }
        };
        Ok(Token { kind, at })
    }

    /// `bytes` must end at a character.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.at += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        self.skip(end)
    }

    /// Segments with dots between them, each a word or anything in `[[…]]`.
    fn words(&mut self) -> Result<Kind, Fault> {
        let escaped = self.rest.starts_with("[[");
        let mut words = Vec::new();
        loop {
            let at = self.at;
            if self.rest.starts_with("[[") {
                let end = self.rest.find("]]").ok_or_else(|| wrong(at, "[[ is not closed by ]]"))?;
                let taken = self.skip(end + 2);
                words.push(taken.trim_start_matches("[[").trim_end_matches("]]").to_owned());
            } else {
                words.push(self.take_while(of_word).to_owned());
            }
            if words.last().is_some_and(String::is_empty) {
                return Err(wrong(at, "wanted a name after the dot"));
            }
            if !self.rest.starts_with('.') {
                return Ok(Kind::Words(words, escaped));
            }
            self.skip(1);
        }
    }

    /// A text in quotes; the quote itself is written twice or after a backslash.
    fn text(&mut self, quote: char) -> Result<String, Fault> {
        let at = self.at;
        self.skip(1);
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote && c != '\\'));
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('\\'), Some(escaped)) => {
                    self.skip(1 + escaped.len_utf8());
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                (Some(first), Some(second)) if first == quote && second == quote => {
                    self.skip(2);
                    text.push(quote);
                }
                (Some(first), _) if first == quote => {
                    self.skip(1);
                    return Ok(text);
                }
                _ => return Err(wrong(at, "the text in quotes does not end")),
            }
        }
    }

    fn number(&mut self) -> Result<Number, Fault> {
        let at = self.at;
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| {
            bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count())
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digits(end + 1 + sign) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
            }
        }
        let text = self.skip(end);
        if self.rest.starts_with(of_word) {
            return Err(wrong(at, &format!("a number goes over into letters after {text:?}")));
        }
        let digits = text.trim_start_matches('0');
        let text = if digits.starts_with(|c: char| c.is_ascii_digit()) { digits } else { text };
        let text = if text.chars().all(|c| c == '0') { "0" } else { text };
        text.parse().map_err(|_| wrong(at, &format!("{text:?} is not a number")))
    }
}

fn of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_numbers_and_escaped_names_are_read_whole() {
        let read = |text: &str| tokens(text).map(|tokens| tokens.into_iter().next().unwrap().kind);
        assert_eq!(read("'it''s \\'ü\\''").unwrap(), Kind::Constant(json!("it's 'ü'")));
        for (text, value) in [
            ("007", json!(7)),
            ("0", json!(0)),
            ("000", json!(0)),
            ("1.5e3", json!(1500.0)),
            ("0.5", json!(0.5)),
        ] {
            assert_eq!(read(text).unwrap(), Kind::Constant(value), "{text}");
        }
        let words = vec!["configurations".to_owned(), "a.b-c".into(), "1st".into()];
        assert_eq!(read("configurations.[[a.b-c]].1st").unwrap(), Kind::Words(words, false));
        for text in ["'open", "[[open", "a..b", "a.", "1x", "?", "'\\", &"x".repeat(LONGEST + 1)] {
            assert_eq!(tokens(text).unwrap_err().code(), 400_004, "{text:.20}");
        }
    }
}
