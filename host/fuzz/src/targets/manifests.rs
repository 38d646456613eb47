//! `plugin.toml`, by itself and inside of a component.

use hotshoe_core::{grants::grant, manifest, package, policy};

use crate::pieces::text;

/// A component with nothing in it.
const EMPTY: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

/// One manifest.
pub(super) fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let packed = package::embed(&EMPTY, text);
    let Ok(manifest) = manifest::parse(text) else {
        assert!(package::read(&packed).is_err(), "what is no manifest is none in a component");
        return;
    };
    let (inside, as_written) = package::read(&packed).expect("a good manifest in a component reads");
    assert!(inside == manifest && as_written == text);
    let names: Vec<&str> = manifest.methods.iter().map(|method| method.name.as_str()).collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)));
    assert!(!names.iter().any(|name| name.starts_with("hotshoe.")), "the host's own names are its own");
    assert!(!manifest.reported.iter().any(|path| path == "hotshoe" || path.starts_with("hotshoe.")));
    // Nothing is granted that the owner did not allow.
    let (grants, denials) = grant(&manifest, &policy::Policy::default());
    assert!(!grants.flash && !grants.restart && grants.storage == 0 && grants.download.is_empty());
    let asks = manifest.grants.flash || manifest.grants.restart || !manifest.grants.download.is_empty();
    assert!(!asks || !denials.is_empty(), "each no is told");
}
