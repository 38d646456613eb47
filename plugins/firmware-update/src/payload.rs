//! What a caller may send, and what it is told when it may not.
//!
//! The tutorials send three forms, and all are taken: an object, a *string* that holds that object as JSON
//! text, and a bare URL. What the host would refuse later (`http`, no host) is refused here already, while the
//! caller listens. Members that are not known are left alone: service apps send what they like.
//!
//! A device whose slots are groups of parts takes `images` in place of the one URL:
//!
//! ```json
//! {"images": [{"part": "kernel", "fwPackageUri": "https://…"}, {"part": "root", "fwPackageUri": "https://…"}]}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest URL that is taken, in bytes. A string of the twin holds 4096.
const URI_LIMIT: usize = 2048;
/// The most images of one order.
const IMAGES_LIMIT: usize = 16;
/// The longest name of a part, in bytes.
const PART_LIMIT: usize = 64;
/// The longest version that is taken, in bytes.
const VERSION_LIMIT: usize = 128;

/// One update, as ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where the image is: an `https` URL. Empty where there are several, which versions of this plugin that know
    /// nothing of parts must not take for one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// The images for the parts of a group; none where `uri` is the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// The image for one part of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Which part: `kernel` for the slot `a/kernel`.
    pub part: String,
    /// Where the image is: an `https` URL.
    pub uri: String,
    /// What it must hash to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many bytes it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// One image of an order, whichever form the order has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'order> {
    pub(crate) part: Option<&'order str>,
    pub(crate) uri: &'order str,
    pub(crate) digest: Option<&'order str>,
    pub(crate) size: Option<u64>,
}

impl Order {
    /// The images that were ordered.
    pub(crate) fn images(&self) -> Vec<Wanted<'_>> {
        if self.images.is_empty() {
            let Order { uri, digest, size, .. } = self;
            return vec![Wanted { part: None, uri, digest: digest.as_deref(), size: *size }];
        }
        let mut images = Vec::new();
        for Image { part, uri, digest, size } in &self.images {
            images.push(Wanted { part: Some(part), uri, digest: digest.as_deref(), size: *size });
        }
        images
    }

    /// The URL for people: of the first image where there are several.
    pub fn shown_uri(&self) -> &str {
        self.images.first().map_or(&self.uri, |image| &image.uri)
    }
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
    let version = match text(members, &["version", "fwVersion"])? {
        Some(version) => Some(self::version(version)?),
        None => None,
    };
    match members.get("images") {
        None | Some(Value::Null) => {
            let (uri, digest, size) = file(members)?;
            Ok(Order { uri, digest, size, version, images: Vec::new() })
        }
        Some(Value::Array(list)) => {
            if text(members, &["fwPackageUri", "fwPackageURI"])?.is_some() {
                return Err("the payload has fwPackageUri and images: send one of them".to_owned());
            }
            Ok(Order { uri: String::new(), digest: None, size: None, version, images: images(list)? })
        }
        Some(other) => Err(format!("images is {}, and it is an array of objects", shown(other))),
    }
}

/// Reads the images for the parts of a group.
fn images(list: &[Value]) -> Result<Vec<Image>, String> {
    if list.is_empty() || list.len() > IMAGES_LIMIT {
        return Err(format!("images has {} members, and 1 to {IMAGES_LIMIT} are taken", list.len()));
    }
    let mut images: Vec<Image> = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let image = image(entry).map_err(|fault| format!("images[{index}]: {fault}"))?;
        if images.iter().any(|other| other.part == image.part) {
            return Err(format!("images[{index}]: the part {:?} stands there twice", image.part));
        }
        images.push(image);
    }
    Ok(images)
}

fn image(entry: &Value) -> Result<Image, String> {
    let Value::Object(members) = entry else {
        return Err(format!("it is {}, and it is an object", shown(entry)));
    };
    let part = text(members, &["part"])?.filter(|part| (1..=PART_LIMIT).contains(&part.len()));
    let part = part.ok_or_else(|| format!("part names the slot's part, in 1 to {PART_LIMIT} bytes"))?;
    let (uri, digest, size) = file(members)?;
    Ok(Image { part, uri, digest, size })
}

/// Reads what says where a file is and what it must be.
fn file(members: &Map<String, Value>) -> Result<(String, Option<String>, Option<u64>), String> {
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
    Ok((self::uri(&uri)?, digest, size))
}

/// Reads a string: JSON text of an object, or a bare URL.
fn from_text(text: &str) -> Result<Order, String> {
    if !text.starts_with('{') {
        let uri = uri(text)?;
        return Ok(Order { uri, digest: None, size: None, version: None, images: Vec::new() });
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
        Order { uri: URI.to_owned(), digest: None, size: None, version: None, images: Vec::new() }
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
    fn an_order_may_have_an_image_for_each_part() {
        let images = json!([
            { "part": "kernel", "fwPackageUri": URI, "size": 7 },
            { "part": "root", "fwPackageURI": URI, "digest": "AB".repeat(32) },
        ]);
        let order = parse(&json!({ "images": images, "version": "2.0.0" })).unwrap();
        assert_eq!((order.uri.as_str(), order.shown_uri(), order.images.len()), ("", URI, 2));
        assert_eq!(order.images()[0], Wanted { part: Some("kernel"), uri: URI, digest: None, size: Some(7) });
        assert_eq!(order.images[1].digest, Some(format!("sha256:{}", "ab".repeat(32))));
        // A version of this plugin that knows nothing of parts finds no image in it, and takes none of them for all.
        let input = serde_json::to_value(&order).unwrap();
        assert!(input.get("uri").is_none() && serde_json::from_value::<Order>(input).unwrap() == order);
        assert_eq!(bare().images(), [Wanted { part: None, uri: URI, digest: None, size: None }]);
        for (payload, said) in [
            (json!({ "images": [] }), "has 0 members"),
            (json!({ "images": vec![images[0].clone(); 17] }), "1 to 16"),
            (json!({ "images": { "kernel": URI } }), "it is an array"),
            (json!({ "images": [URI] }), "images[0]: it is"),
            (json!({ "images": [{ "fwPackageUri": URI }] }), "images[0]: part names"),
            (json!({ "images": [{ "part": "kernel" }] }), "images[0]: the payload has no fwPackageUri"),
            (json!({ "images": [images[0], images[0]] }), "\"kernel\" stands there twice"),
            (json!({ "images": images, "fwPackageUri": URI }), "send one of them"),
        ] {
            let refusal = parse(&payload).unwrap_err();
            assert!(refusal.contains(said), "{payload} was told {refusal:?}, and not {said:?}");
        }
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
