//! What is durably known of slots: whatever stands in the records, nothing that runs is written and nothing is confirmed
//! that is not there.

use std::sync::Arc;

use hotshoe_core::{digest::Digest, policy::Unsigned};
use hotshoed::flash::{Flash, SlotConfig};

use crate::{memory::MemoryFolder, pieces::choice};

const SIZE: u64 = 4096;

/// A record of the spare slot, behind a good header or as it is, beside a boot record of the bytes' choice.
pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    let folder = MemoryFolder::default();
    let sealed = |body: &[u8]| {
        [format!("hotshoe-state 1 {}\n", blake3::hash(body).to_hex()).as_bytes(), body].concat()
    };
    folder.inner("slots").put("b", &if kind & 1 == 0 { sealed(rest) } else { rest.to_vec() });
    if kind & 2 != 0 {
        folder.put("boot.0", rest);
    }
    folder.put("b.img", &[7; SIZE as usize]);
    let slot = |name: &str| SlotConfig { name: name.into(), file: format!("{name}.img"), size: SIZE };
    let Ok(flash) = Flash::open(Arc::new(folder.clone()), vec![slot("a"), slot("b")]) else { return };
    let Ok(running) = flash.running() else { return };
    let slots = flash.slots().expect("slots can be told");
    assert_eq!(slots.len(), 2);
    let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
    assert!(
        flash.stage(&running, &digest, "job", Unsigned::Allow).is_err(),
        "the running slot is never written"
    );
    let spare = if running == "a" { "b" } else { "a" };
    // A record that says what it likes arms nothing that was not sealed by it, and never makes this panic.
    let _ = flash.activate(spare, "job");
    let _ = flash.stage(spare, &digest, "job", Unsigned::Allow).map(drop);
    let _ = flash.confirm();
    let _ = flash.revert();
    assert_eq!(flash.running().expect("one slot runs"), running);
}
