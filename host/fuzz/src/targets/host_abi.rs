//! The host's functions, called by a real component with whatever values the bytes say: texts outside of its memory, handles
//! that it was never given, numbers beyond all bounds. A call may be refused or end the guest; the host never fails.

use std::{cell::RefCell, fmt::Write as _};

use hotshoed::plugin::Plugin;
use serde_json::Value;

use crate::{device::Device, pieces::runtime};

/// How many inputs a device takes. What a plugin may do in a second is bounded, and one that has used it up waits.
const INPUTS: u32 = 64;

thread_local! {
    static GUEST: RefCell<Option<Guest>> = const { RefCell::new(None) };
}

/// The zoo's guest on its device, and how many inputs it has still to take.
struct Guest {
    plugin: Plugin,
    _device: Device,
    left: u32,
}

impl Guest {
    fn new() -> Guest {
        let device = runtime(Device::new());
        Guest { plugin: runtime(device.hostile()), _device: device, left: INPUTS }
    }
}

/// What one call of the guest does; see `raw` in the zoo's guest.
pub(super) fn run(data: &[u8]) {
    let mut program = String::with_capacity(data.len() * 2);
    for byte in data {
        let _ = write!(program, "{byte:02x}");
    }
    GUEST.with_borrow_mut(|place| {
        let mut guest = place.take().unwrap_or_else(Guest::new);
        if let Err(refusal) = runtime(guest.plugin.call("raw", Value::String(program), "call")) {
            let text = refusal.to_string();
            assert!(!text.contains("the host failed"), "{text}");
        }
        guest.left -= 1;
        *place = (guest.left > 0).then_some(guest);
    });
}
