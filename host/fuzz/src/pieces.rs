//! Bytes, taken apart in ways that a fuzzer finds easily.

use tokio::runtime::{Builder, Runtime};

/// The bytes as text; `None` where they are none.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Texts with a line of `--` between them.
pub(crate) fn sections(data: &[u8]) -> Option<impl Iterator<Item = &str>> {
    Some(text(data)?.split("\n--\n"))
}

/// A first byte that chooses, and the rest.
pub(crate) fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}

/// Whether a number with a fraction is somewhere in it. Those are not compared: they may lose their last digit between two
/// readings.
pub(crate) fn has_fraction(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(items) => items.iter().any(has_fraction),
        serde_json::Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

/// Runs something on this thread's runtime.
pub(crate) fn runtime<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = begin(&mut Builder::new_current_thread());
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// The same on another one, where waiting takes no time if the feature `no-waiting` is on: for what waits for nothing
/// outside of this process.
pub(crate) fn hurried<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = {
            let mut builder = Builder::new_current_thread();
            #[cfg(feature = "no-waiting")]
            builder.start_paused(true);
            begin(&mut builder)
        };
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

fn begin(builder: &mut Builder) -> Runtime {
    builder.enable_all().build().expect("a runtime")
}
