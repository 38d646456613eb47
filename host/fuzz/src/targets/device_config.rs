//! `device.toml` as a text: nothing that it names is looked at.

use hotshoed::config::Config;

use crate::pieces::text;

/// One configuration.
pub(super) fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Err(error) = Config::check_text(text) {
        assert!(!error.to_string().is_empty());
    }
}
