//! The host's functions, called by a real component with whatever values the bytes say: texts outside of its memory, handles
//! that it was never given, numbers beyond all bounds. A call may be refused or end the guest; the host never fails.

use std::{cell::OnceCell, fmt::Write as _};

use hotshoed::plugin::Plugin;
use serde_json::Value;

use crate::{device, pieces::runtime};

thread_local! {
    static GUEST: OnceCell<Plugin> = const { OnceCell::new() };
}

/// What one call of the guest does; see `raw` in the zoo's guest.
pub(super) fn run(data: &[u8]) {
    let mut program = String::with_capacity(data.len() * 2);
    for byte in data {
        let _ = write!(program, "{byte:02x}");
    }
    device::with(|device| {
        GUEST.with(|guest| {
            let guest = guest.get_or_init(|| runtime(device.hostile()));
            if let Err(refusal) = runtime(guest.call("raw", Value::String(program), "call")) {
                let text = refusal.to_string();
                assert!(!text.contains("the host failed"), "{text}");
            }
        });
    });
}
