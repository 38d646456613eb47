//! `policy.toml` and a manifest under it: grants are never more than what was asked for, nor than what is allowed.

use hotshoe_core::{grants::grant, manifest, policy};
use url::Url;

use crate::pieces::sections;

/// A policy, a manifest and a URL.
pub(super) fn run(data: &[u8]) {
    let Some(mut texts) = sections(data) else { return };
    let Some(policy) = texts.next().and_then(|text| policy::parse(text).ok()) else { return };
    let Some(manifest) = texts.next().and_then(|text| manifest::parse(text).ok()) else { return };
    let (grants, _) = grant(&manifest, &policy);
    let allowed = policy.allowed(&manifest.name).cloned().unwrap_or_default();
    assert!(grants.storage <= manifest.grants.storage.min(allowed.storage));
    assert!(!grants.flash || manifest.grants.flash && allowed.flash);
    assert!(!grants.restart || manifest.grants.restart && allowed.restart);
    assert!(!grants.telemetry || manifest.grants.telemetry && allowed.telemetry);
    assert_eq!(grants.within(&grants), grants);
    assert!(grants.beyond(&grants).is_empty());
    let Some(url) = texts.next().and_then(|text| text.parse::<Url>().ok()) else { return };
    if grants.allows_url(&url).is_ok() {
        assert!(allowed.download.iter().any(|pattern| pattern.matches(&url)), "{url} is not allowed");
        assert!(
            manifest.grants.download.iter().any(|pattern| pattern.matches(&url)),
            "{url} was not asked for"
        );
    }
}
