//! What a caller may send, and what it is told when it may not.
//!
//! The tutorials send three forms, and all are taken: an object, a *string* that holds that object as JSON
//! text, and a bare URL. What the host would refuse later (`http`, no host) is refused here already, while the
//! caller listens. Members that are not known are left alone: service apps send what they like.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest URL that is taken, in bytes. A string of the twin holds 4096.
const URI_LIMIT: usize = 2048;
/// The longest version that is taken, in bytes.
const VERSION_LIMIT: usize = 128;

/// One update, as ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where the image is: an `https` URL.
    pub uri: String,
    /// What it must hash to: `sha256:` or `blake3:` and 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many bytes it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Reads a method's payload. The error is a text for the caller.
pub fn parse(payload: &Value) -> Result<Order, String> {
    match payload {
        Value::Object(members) => from_members(members),
        Value::String(text) => from_text(text.trim()),
        Value::Null => Err(wanted("the payload is missing")),
        _ => Err(wanted("the payload is neither an object nor a string")),
    }
}

/// Reads the members of an object: a method's payload, or the desired section.
pub fn from_members(members: &Map<String, Value>) -> Result<Order, String> {
    let uri = text(members, &["fwPackageUri", "fwPackageURI"])?
        .ok_or_else(|| wanted("the payload has no fwPackageUri"))?;
    let digest = match text(members, &["digest", "fwPackageCheckValue"])? {
        Some(text) => Some(digest(&text)?),
        None => None,
    };
    let size = match members.get("size") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_u64().filter(|size| *size > 0).ok_or_else(|| {
            format!("size is {}, and it is the number of bytes, a whole number over 0", shown(value))
        })?),
    };
    let version = match text(members, &["version", "fwVersion"])? {
        Some(version) => Some(self::version(version)?),
        None => None,
    };
    Ok(Order { uri: self::uri(&uri)?, digest, size, version })
}

/// Reads a string: JSON text of an object, or a bare URL.
fn from_text(text: &str) -> Result<Order, String> {
    if !text.starts_with('{') {
        return Ok(Order { uri: uri(text)?, digest: None, size: None, version: None });
    }
    let members: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| format!("the payload is a string that begins like JSON and is none: {error}"))?;
    from_members(&members)
}

/// The first of some members that is there and not null, which must be a string.
fn text(members: &Map<String, Value>, names: &[&str]) -> Result<Option<String>, String> {
    for name in names {
        match members.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(Some(text.trim().to_owned())),
            Some(other) => return Err(format!("{name} is {}, and it is a string", shown(other))),
        }
    }
    Ok(None)
}

/// Checks a URL as far as it can be without a network: `https`, a host, one line.
fn uri(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(wanted("the URL is empty"));
    }
    if text.len() > URI_LIMIT {
        return Err(format!("the URL has {} bytes, and at most {URI_LIMIT} are taken", text.len()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("{text:?} is not a whole URL: it must begin with https://, like https://{text}"));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(format!("{text:?} is not fetched over {scheme}: it must begin with https://"));
    }
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(format!(
            "{text:?} is not a URL: spaces and control characters are written %20 and so on"
        ));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(format!("{text:?} names no host"));
    }
    Ok(text.to_owned())
}

/// Checks a digest; 64 digits without an algorithm are taken for SHA-256.
fn digest(text: &str) -> Result<String, String> {
    let (algorithm, digits) = text.split_once(':').unwrap_or(("sha256", text));
    let algorithm = algorithm.to_ascii_lowercase();
    let hexadecimal = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match algorithm.as_str() {
        "sha256" | "blake3" if hexadecimal => Ok(format!("{algorithm}:{}", digits.to_ascii_lowercase())),
        _ => Err(format!(
            "the digest {} cannot be checked: it is sha256: or blake3: and 64 hexadecimal digits",
            shown(&Value::from(text))
        )),
    }
}

fn version(text: String) -> Result<String, String> {
    if text.is_empty() || text.len() > VERSION_LIMIT || text.chars().any(char::is_control) {
        return Err(format!(
            "the version {} is not one: it is a line of 1 to {VERSION_LIMIT} bytes",
            shown(&Value::from(text))
        ));
    }
    Ok(text)
}

fn wanted(fault: &str) -> String {
    format!("{fault}: send {{\"fwPackageUri\": \"https://…\"}} or the URL as a string")
}

/// A value for a message, at most 80 characters of it.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URI: &str = "https://example.com/image.img";

    fn bare() -> Order {
        Order { uri: URI.to_owned(), digest: None, size: None, version: None }
    }

    #[test]
    fn every_form_of_the_tutorials_is_taken() {
        let text = format!("{{\"fwPackageUri\":\"{URI}\"}}");
        for payload in [
            json!({ "fwPackageUri": URI }),
            json!({ "fwPackageURI": URI }),
            json!(text),
            json!(URI),
            json!(format!(" {URI}\n")),
        ] {
            assert_eq!(parse(&payload), Ok(bare()), "{payload}");
        }
    }

    #[test]
    fn what_stands_beside_the_uri_is_taken() {
        let digits = "AB".repeat(32);
        let full = Order {
            digest: Some(format!("sha256:{}", "ab".repeat(32))),
            size: Some(4096),
            version: Some("2.8.5".to_owned()),
            ..bare()
        };
        let method = json!({ "fwPackageUri": URI, "digest": format!("sha256:{digits}"), "size": 4096, "version": "2.8.5" });
        assert_eq!(parse(&method), Ok(full.clone()));
        let section =
            json!({ "fwPackageURI": URI, "fwPackageCheckValue": digits, "size": 4096, "fwVersion": "2.8.5" });
        assert_eq!(parse(&section), Ok(full));
        assert_eq!(parse(&json!({ "fwPackageUri": URI, "digest": null, "note": [1] })), Ok(bare()));
    }

    #[test]
    fn the_tutorials_own_address_is_refused_with_the_way_out() {
        let refusal = parse(&json!({ "fwPackageUri": "test.com" })).unwrap_err();
        assert_eq!(
            refusal,
            "\"test.com\" is not a whole URL: it must begin with https://, like https://test.com"
        );
    }

    #[test]
    fn bad_payloads_are_told_what_is_wrong() {
        for (payload, said) in [
            (json!(null), "the payload is missing"),
            (json!(7), "neither an object nor a string"),
            (json!([]), "neither an object nor a string"),
            (json!({}), "no fwPackageUri"),
            (json!({ "fwPackageUri": 7 }), "fwPackageUri is 7, and it is a string"),
            (json!(""), "the URL is empty"),
            (json!("{\"fwPackageUri\":"), "begins like JSON"),
            (json!("http://example.com/a"), "not fetched over http"),
            (json!("https:///a"), "names no host"),
            (json!("https://:443/a"), "names no host"),
            (json!("https://example.com/a b"), "spaces"),
            (json!(format!("https://example.com/{}", "a".repeat(3000))), "at most 2048"),
            (json!({ "fwPackageUri": URI, "digest": "1234" }), "cannot be checked"),
            (
                json!({ "fwPackageUri": URI, "digest": format!("md5:{}", "a".repeat(64)) }),
                "cannot be checked",
            ),
            (
                json!({ "fwPackageUri": URI, "digest": format!("sha256:{}", "é".repeat(32)) }),
                "cannot be checked",
            ),
            (json!({ "fwPackageUri": URI, "size": "12" }), "size is \"12\""),
            (json!({ "fwPackageUri": URI, "size": 0 }), "over 0"),
            (json!({ "fwPackageUri": URI, "size": -1 }), "size is -1"),
            (json!({ "fwPackageUri": URI, "version": "" }), "is not one"),
            (json!({ "fwPackageUri": URI, "version": "v".repeat(129) }), "is not one"),
        ] {
            let refusal = parse(&payload).unwrap_err();
            assert!(refusal.contains(said), "{payload} was told {refusal:?}, and not {said:?}");
        }
    }
}
