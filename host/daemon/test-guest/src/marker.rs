//! A line of text in the component that tests rewrite, so that one build makes many versions.
//!
//! `version` is what the method of that name answers; `trap-at` is its call that traps, counted in the plugin's store, 0
//! for none; `adopt` is `ok`, `refuse` or `trap`. The text keeps its length.

use std::hint::black_box;

static MARKER: [u8; 80] =
    *b"hotshoe-test-marker version=0.1.0 trap-at=0 adopt=ok                            ";

/// The word behind `key=`.
pub(crate) fn word(key: &str) -> Option<&'static str> {
    // As the bytes are when it runs, not as the compiler knows them.
    let text = std::str::from_utf8(black_box(&MARKER)).ok()?;
    text.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
}

/// The same as a number.
pub(crate) fn number(key: &str) -> Option<u64> {
    word(key)?.parse().ok()
}
