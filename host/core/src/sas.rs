//! Shared access signatures: made by devices and operators, checked by a hub (iothub.md §1.3).
//!
//! The signature covers the resource *as it is encoded in the token*: encoders differ, so a token is checked over its
//! own text and never decoded and encoded again. The clock comes in as Unix seconds.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "SharedAccessSignature ";

/// What stays as it is: letters, digits and `-._~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a token could not be made or was refused. Never repeats a key or a signature.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SasError {
    /// The key to sign or check with.
    #[error("the shared access key is not base64")]
    Key,
    /// The token does not begin as one does.
    #[error("the token does not begin with `SharedAccessSignature `")]
    NotAToken,
    /// A field is missing, doubled or unreadable.
    #[error("the token's field `{field}` {reason}")]
    Field {
        /// `sr`, `sig`, `se` or `skn`.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its time is over.
    #[error("the token expired {seconds} s ago; check the clock and make a new one")]
    Expired {
        /// How long ago, in seconds.
        seconds: u64,
    },
    /// Another key made it, or it was changed.
    #[error("the token was not signed with this key")]
    Signature,
}

/// Makes a token for a resource, such as `hub.example.net/devices/dev-1`, good until `expiry_seconds` of Unix time.
///
/// An operator's token names its policy; a device's has none.
pub fn token(
    resource: &str,
    key_base64: &str,
    policy: Option<&str>,
    expiry_seconds: u64,
) -> Result<String, SasError> {
    let resource = utf8_percent_encode(resource, ENCODED).to_string();
    let signature =
        STANDARD.encode(signer(key_base64, &resource, &expiry_seconds.to_string())?.finalize().into_bytes());
    let signature = utf8_percent_encode(&signature, ENCODED);
    let mut token = format!("{PREFIX}sr={resource}&sig={signature}&se={expiry_seconds}");
    if let Some(policy) = policy {
        token.push_str(&format!("&skn={}", utf8_percent_encode(policy, ENCODED)));
    }
    Ok(token)
}

/// The key of one device of a group: HMAC-SHA256 of its registration id under the group's key, base64 (iothub.md §7).
pub fn derived_key(group_key_base64: &str, registration_id: &str) -> Result<String, SasError> {
    let key = STANDARD.decode(group_key_base64).map(Zeroizing::new).map_err(|_| SasError::Key)?;
    let mut signer = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SasError::Key)?;
    signer.update(registration_id.as_bytes());
    Ok(STANDARD.encode(signer.finalize().into_bytes()))
}

fn signer(key_base64: &str, resource_raw: &str, expiry_raw: &str) -> Result<Hmac<Sha256>, SasError> {
    let key = STANDARD.decode(key_base64).map(Zeroizing::new).map_err(|_| SasError::Key)?;
    let mut signer = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SasError::Key)?;
    signer.update(resource_raw.as_bytes());
    signer.update(b"\n");
    signer.update(expiry_raw.as_bytes());
    Ok(signer)
}

/// A token, taken apart. Being parsed says nothing about its being true: see [`Token::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// The resource as it is encoded in the token.
    pub resource_raw: &'a str,
    /// The signature's bytes.
    pub signature: Vec<u8>,
    /// When it ends, in Unix seconds.
    pub expiry: u64,
    /// The policy whose key signed it; none for a device's own key.
    pub policy: Option<Cow<'a, str>>,
    expiry_raw: &'a str,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Token")
            .field("resource_raw", &self.resource_raw)
            .field("expiry", &self.expiry)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Takes a token apart. The fields may come in any order; unknown ones are ignored.
pub fn parse(text: &str) -> Result<Token<'_>, SasError> {
    let fields = text.trim_end().strip_prefix(PREFIX).ok_or(SasError::NotAToken)?;
    let [mut resource, mut signature, mut expiry, mut policy] = [None; 4];
    for field in fields.split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let (place, field) = match name {
            "sr" => (&mut resource, "sr"),
            "sig" => (&mut signature, "sig"),
            "se" => (&mut expiry, "se"),
            "skn" => (&mut policy, "skn"),
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(SasError::Field { field, reason: "stands there twice" });
        }
    }
    let missing = |field| SasError::Field { field, reason: "is missing" };
    let resource_raw = resource.ok_or(missing("sr"))?;
    let signature: Vec<u8> = percent_decode_str(signature.ok_or(missing("sig"))?).collect();
    let signature =
        STANDARD.decode(signature).map_err(|_| SasError::Field { field: "sig", reason: "is not base64" })?;
    let expiry_raw = expiry.ok_or(missing("se"))?;
    let expiry = expiry_raw
        .parse()
        .map_err(|_| SasError::Field { field: "se", reason: "is not a number of seconds" })?;
    let policy = policy
        .filter(|policy| !policy.is_empty())
        .map(|policy| percent_decode_str(policy).decode_utf8())
        .transpose()
        .map_err(|_| SasError::Field { field: "skn", reason: "is not UTF-8" })?;
    Ok(Token { resource_raw, signature, expiry, policy, expiry_raw })
}

impl<'a> Token<'a> {
    /// The same as [`parse`].
    pub fn parse(text: &'a str) -> Result<Self, SasError> {
        parse(text)
    }

    /// Checks the signature with a key and the time with a clock. Does not check what it covers: see [`Token::covers`].
    ///
    /// `skew` is how many seconds past its end a token is still taken, for clocks that differ.
    pub fn verify(&self, key_base64: &str, now_seconds: u64, skew: u64) -> Result<(), SasError> {
        signer(key_base64, self.resource_raw, self.expiry_raw)?
            .verify_slice(&self.signature)
            .map_err(|_| SasError::Signature)?;
        match now_seconds.checked_sub(self.expiry.saturating_add(skew)) {
            Some(over) if over > 0 => {
                Err(SasError::Expired { seconds: now_seconds.saturating_sub(self.expiry) })
            }
            _ => Ok(()),
        }
    }

    /// Whether the token's resource is this one or stands above it, segment by segment: `host/devices` covers
    /// `host/devices/d`, and `host/devices/d` does not cover `host/devices/d2`.
    ///
    /// Host and ids are compared regardless of case, a port in the token that the resource does not name is ignored,
    /// and so are trailing parts like `/api-version=…` that some tools emit.
    pub fn covers(&self, resource: &str) -> bool {
        let Ok(own) = percent_decode_str(self.resource_raw).decode_utf8() else { return false };
        let mut own = own.trim_end_matches('/').split('/').filter(|part| !part.starts_with("api-version="));
        let mut asked = resource.split('/');
        let (Some(own_host), Some(host)) = (own.next(), asked.next()) else { return false };
        let bare = own_host.rsplit_once(':').map_or(own_host, |(bare, _port)| bare);
        if own_host.is_empty() || !(own_host.eq_ignore_ascii_case(host) || bare.eq_ignore_ascii_case(host)) {
            return false;
        }
        own.all(|part| asked.next().is_some_and(|asked| asked.eq_ignore_ascii_case(part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const VECTOR: &str = "SharedAccessSignature sr=hub.localhost%2Fdevices%2Fdev-1&sig=0IQ6NOn%2BAA5t3TofFUhW%2FwJXufWURRzEgaP1uOg2mgc%3D&se=1893456000";

    #[test]
    fn the_test_vector() {
        assert_eq!(token("hub.localhost/devices/dev-1", KEY, None, 1_893_456_000).unwrap(), VECTOR);
        assert_eq!(parse(VECTOR).unwrap().verify(KEY, 1_893_456_000, 0), Ok(()));
    }

    #[test]
    fn an_operators_token_names_its_policy() {
        let text = token("localhost", KEY, Some("iothubowner"), 100).unwrap();
        assert!(text.ends_with("&se=100&skn=iothubowner"));
        assert_eq!(parse(&text).unwrap().policy.as_deref(), Some("iothubowner"));
    }

    #[test]
    fn the_fields_come_in_any_order_and_encoding() {
        let (resource, signature) = ("hub.localhost%2fdevices%2fdev-1", {
            let mut signer = signer(KEY, "hub.localhost%2fdevices%2fdev-1", "1893456000").unwrap();
            signer.update(b"");
            STANDARD.encode(signer.finalize().into_bytes())
        });
        // As a service SDK writes it: lower-case hexadecimal, and a signature that is hardly escaped.
        let text = format!("SharedAccessSignature se=1893456000&sig={signature}&skn=&sr={resource}");
        let token = parse(&text).unwrap();
        assert_eq!(token.verify(KEY, 0, 0), Ok(()));
        assert_eq!(token.policy, None);
        assert!(token.covers("hub.localhost/devices/dev-1"));
    }

    #[test]
    fn a_wrong_key_a_changed_token_and_an_old_one_are_refused() {
        let token = parse(VECTOR).unwrap();
        let other = STANDARD.encode(b"another key");
        assert_eq!(token.verify(&other, 0, 0), Err(SasError::Signature));
        assert_eq!(token.verify("*", 0, 0), Err(SasError::Key));
        assert_eq!(token.verify(KEY, 1_893_456_300, 300), Ok(()));
        assert_eq!(token.verify(KEY, 1_893_456_301, 300), Err(SasError::Expired { seconds: 301 }));
        for (from, to) in [("dev-1", "dev-2"), ("1893456000", "1893456001"), ("0IQ6", "0IQ7")] {
            let changed = VECTOR.replace(from, to);
            assert_eq!(parse(&changed).unwrap().verify(KEY, 0, 0), Err(SasError::Signature), "{to}");
        }
    }

    #[test]
    fn what_is_not_a_token_is_told() {
        let told = |text: &str| parse(text).unwrap_err().to_string();
        assert!(told("Bearer x").contains("does not begin"));
        assert!(told("SharedAccessSignature sig=&se=1").contains("`sr` is missing"));
        assert!(told("SharedAccessSignature sr=a&sig=&se=-1").contains("`se` is not a number"));
        assert!(told("SharedAccessSignature sr=a&sig=%&se=1").contains("`sig` is not base64"));
        assert!(told("SharedAccessSignature sr=a&sr=b&sig=&se=1").contains("`sr` stands there twice"));
    }

    #[test]
    fn what_a_token_covers() {
        let covers = |own: &str, asked: &str| {
            let text = token(own, KEY, None, 1).unwrap();
            parse(&text).unwrap().covers(asked)
        };
        assert!(covers("h", "h/devices/d"));
        assert!(covers("h/devices", "h/devices/d"));
        assert!(covers("h/devices/d", "h/devices/d"));
        assert!(covers("h/devices/d/", "h/devices/d/modules/m"));
        assert!(covers("H/devices/D", "h/devices/d"));
        assert!(covers("h/devices/d/api-version=2021-04-12", "h/devices/d"));
        assert!(covers("h:8443", "h"));
        assert!(!covers("h/devices/d", "h/devices/d2"));
        assert!(!covers("h/devices/d", "h/devices"));
        assert!(!covers("h/devices/d", "h"));
        assert!(!covers("g", "h"));
        assert!(!covers("", "h"));
        assert!(!covers("h/devices/d/modules/m", "h/devices/d"));
    }
}
