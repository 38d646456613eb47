//! Where a guest was when it trapped, in the names that its author gave.
//!
//! The names are those of the component's own `name` section, which the compiler keeps beside the code; a component
//! that was stripped of it has none, and then nothing is said. What a language brings along (its panic machinery, its
//! library, generated glue) is left out, since the author looks for his own function: innermost first, a few frames.

use std::fmt::Write as _;

use wasmtime::WasmBacktrace;

use crate::capability::plain;

/// How many functions are named.
const FRAMES: usize = 6;
/// The longest name, in bytes.
const NAME_LIMIT: usize = 120;
/// How the names begin that no author wrote.
const FOREIGN: [&str; 12] = [
    "core::",
    "std::",
    "alloc::",
    "<core::",
    "<std::",
    "<alloc::",
    "__",
    "rust_",
    "_R",
    "wit_bindgen::",
    "cabi_",
    "dlmalloc::",
];

/// The functions in which an error of the engine arose: `in a, called by b`. `None` where no name is known.
pub(super) fn of(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    told(trace.frames().iter().filter_map(|frame| frame.func_name()))
}

fn told<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut named: Vec<String> = names.map(readable).filter(|name| is_own(name)).collect();
    named.dedup();
    let (shown, left) = named.split_at(named.len().min(FRAMES));
    let mut text = format!("in {}", shown.first()?);
    for name in shown.iter().skip(1) {
        let _ = write!(text, ", called by {name}");
    }
    if !left.is_empty() {
        let _ = write!(text, ", and {} more", left.len());
    }
    Some(text)
}

/// A name without mangling, without what hides in a terminal, and not too long.
fn readable(name: &str) -> String {
    let mut left = NAME_LIMIT;
    plain(&format!("{:#}", rustc_demangle::demangle(name)), &mut left)
}

/// Whether an author may have written it. An export's glue is named `interface#function`.
fn is_own(name: &str) -> bool {
    !name.contains('#') && !FOREIGN.iter().any(|foreign| name.starts_with(foreign)) && name != "abort"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_functions_are_named_innermost_first() {
        let names = [
            "__rust_start_panic",
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_ZN4pump6valves5close17h0123456789abcdefE",
            "_ZN4pump6handle17h0123456789abcdefE",
            "_ZN4pump6handle17h0123456789abcdefE",
            "hotshoe:plugin/methods@0.1.0#handle",
        ];
        assert_eq!(told(names.into_iter()).unwrap(), "in pump::valves::close, called by pump::handle");
        assert_eq!(told(["__rust_start_panic"].into_iter()), None);
        assert_eq!(told(std::iter::empty()), None);
    }

    #[test]
    fn a_name_is_a_strangers_text() {
        let long = "x".repeat(100_000);
        let text = told(["evil\n\u{1b}[31m", long.as_str()].into_iter()).unwrap();
        assert!(text.starts_with("in evil\\n\\u{1b}[31m, called by xxx") && text.len() < 300, "{text}");
        let many: Vec<String> = (0..20).map(|number| format!("f{number}")).collect();
        let text = told(many.iter().map(String::as_str)).unwrap();
        assert!(text.ends_with("called by f5, and 14 more"), "{text}");
    }
}
