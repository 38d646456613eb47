//! What stands in `<…>` and is filled in: names, keys, tokens, long texts.
//!
//! | written | is |
//! |---|---|
//! | `<d>`, `<e>` | device ids of this case's own; `<d>` is registered |
//! | `<host>` | the hub's name |
//! | `<key>`, `<key2>` | the keys of `<d>` |
//! | `<policy NAME>` | a policy's primary key |
//! | `<sas of= key= skn= se= order= hex=>` | a token; by default of `<d>`, with `<key>`, for a minute |
//! | `<repeat TEXT N>` | the text so many times |
//! | `<base64 TEXT>` | its base64 |
//! | any other | what an earlier pattern kept under that name |

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hotshoe_core::sas;

use crate::Place;

/// The words of one case.
pub(crate) struct Words<'a> {
    pub(crate) place: &'a Place,
    pub(crate) kept: HashMap<String, String>,
}

impl Words<'_> {
    /// The text with everything filled in.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, inner, after)) = next(rest) {
            filled.push_str(before);
            if inner.starts_with('?') || matches!(inner, "absent" | "any") {
                filled.push_str(&format!("<{inner}>")); // a pattern's, not ours
            } else {
                filled.push_str(&self.word(inner)?);
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn word(&self, inner: &str) -> Result<String, String> {
        let parts = split(inner);
        let parts = parts.iter().map(|part| self.fill(part)).collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["host"] => Ok("localhost".into()),
            ["policy", name] => {
                self.place.hub.policy_key(name).map(str::to_owned).ok_or_else(|| format!("no policy {name}"))
            }
            ["sas", options @ ..] => self.token(options),
            ["repeat", text, times] => {
                Ok(text.repeat(times.parse().map_err(|_| format!("{times} is no number"))?))
            }
            ["base64", text] => Ok(STANDARD.encode(text)),
            [name] => self.kept.get(*name).cloned().ok_or_else(|| format!("nothing was kept as <{name}>")),
            _ => Err(format!("<{inner}> means nothing")),
        }
    }

    fn token(&self, options: &[&str]) -> Result<String, String> {
        let option = |name: &str| {
            options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let kept = |name: &str| self.kept.get(name).cloned().unwrap_or_default();
        let resource = option("of").unwrap_or_else(|| format!("localhost/devices/{}", kept("d")));
        let key = option("key").unwrap_or_else(|| kept("key"));
        let seconds: i64 = option("se").map_or(Ok(60), |text| text.parse()).map_err(|_| "se is a number")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let policy = option("skn");
        let token = sas::token(&resource, &key, policy.as_deref(), now.saturating_add_signed(seconds));
        let mut token = token.map_err(|error| error.to_string())?;
        if option("hex").as_deref() == Some("lower") {
            token = lower_hex(&token, &key, now.saturating_add_signed(seconds))?;
        }
        let Some(order) = option("order") else { return Ok(token) };
        let fields: Vec<&str> = token.trim_start_matches("SharedAccessSignature ").split('&').collect();
        let field = |name: &str| fields.iter().find(|field| field.split('=').next() == Some(name));
        let ordered: Vec<&str> = order.split(',').filter_map(|name| field(name).copied()).collect();
        Ok(format!("SharedAccessSignature {}", ordered.join("&")))
    }
}

/// The same token with `sr` escaped in lower case, and signed so.
fn lower_hex(token: &str, key: &str, expiry: u64) -> Result<String, String> {
    let resource =
        token.split(['=', '&']).nth(1).unwrap_or_default().replace("%2F", "%2f").replace("%3A", "%3a");
    let key =
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &STANDARD.decode(key).map_err(|e| e.to_string())?);
    let signature = ring::hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes());
    let signature = STANDARD.encode(signature).replace('+', "%2b").replace('/', "%2f").replace('=', "%3d");
    Ok(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}"))
}

/// The first `<…>` of a text: what stands before, in and after it. `<` begins one only before a letter or `?`.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let begins =
        |index: &usize| text[index + 1..].starts_with(|next: char| next.is_ascii_alphabetic() || next == '?');
    let start = text.match_indices('<').map(|(index, _)| index).find(begins)?;
    let mut depth = 0;
    for (index, character) in text[start..].char_indices() {
        match character {
            '<' => depth += 1,
            '>' if depth == 1 => {
                let end = start + index;
                return Some((&text[..start], &text[start + 1..end], &text[end + 1..]));
            }
            '>' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// At blanks, but not within `<…>`.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            ' ' if depth <= 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}
