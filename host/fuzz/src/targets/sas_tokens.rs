//! Shared access signatures: what was made is believed, what was changed is not.

use hotshoe_core::sas;

use crate::pieces::{choice, sections, text};

const KEY: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDMyYg==";
const OTHER: &str = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgMzI=";

/// A token as it comes, or a resource and a policy to make one of.
pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    if kind & 1 == 0 {
        let Some(token) = text(rest).and_then(|text| sas::parse(text).ok()) else { return };
        assert!(token.verify(OTHER, 0, 0).is_err(), "nobody has this key");
        token.covers("hub.example.net/devices/device");
        return;
    }
    let Some(mut texts) = sections(rest) else { return };
    let (resource, policy) = (texts.next().unwrap_or_default(), texts.next());
    let expiry = u64::from(kind) << 24;
    let token = sas::token(resource, KEY, policy, expiry).expect("the key is good");
    let parsed = sas::parse(&token).expect("what was made reads");
    assert_eq!(parsed.policy.as_deref(), policy.filter(|policy| !policy.is_empty()));
    parsed.verify(KEY, expiry, 0).expect("what was made is believed");
    assert!(parsed.verify(KEY, expiry + 1, 0).is_err(), "until its time is over");
    assert!(parsed.verify(OTHER, expiry, 0).is_err());
    // Elsewhere it is worth nothing.
    assert!(
        !parsed.covers("another.example.net/devices/device") || resource.starts_with("another.example.net")
    );
}
