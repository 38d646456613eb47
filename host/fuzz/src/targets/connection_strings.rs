//! Connection strings: read, written, read again; no key in an error or a log.

use hotshoe_core::connection_string::{ConnectionString, Credential};

use crate::pieces::text;

/// One connection string.
pub(super) fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(connection) = text.parse::<ConnectionString>() else { return };
    let again = connection.to_secret_text();
    assert_eq!(
        again.parse::<ConnectionString>().as_ref(),
        Ok(&connection),
        "{text:?} was written as {again:?}"
    );
    if let Credential::Key { key, .. } = &connection.credential
        && key.expose().len() >= 16
    {
        let open = format!("{}{:?}{:?}", connection.host, connection.device, connection.module);
        let policy = matches!(&connection.credential, Credential::Key { policy: Some(policy), .. } if policy.contains(key.expose()));
        let named = open.contains(key.expose()) || policy;
        assert!(named || !format!("{connection:?}").contains(key.expose()), "a key is shown");
    }
}
