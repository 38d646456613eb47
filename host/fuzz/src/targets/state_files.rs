//! State files: whatever is in one, reading it gives what was once written or nothing, and what is set aside is kept.

use std::fmt::Debug;

use hotshoe_core::{job::Job, swap::Record};
use hotshoed::{artifact::Origin, state::StateDir, trust::Kept};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{memory::MemoryFolder, pieces::choice};

/// A file as it is, or a body behind a good header.
pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    let file = match kind & 0x80 {
        0 => rest.to_vec(),
        _ => [format!("hotshoe-state 1 {}\n", blake3::hash(rest).to_hex()).as_bytes(), rest].concat(),
    };
    match kind & 0x7f {
        0 => read::<Job>(&file),
        1 => read::<Record>(&file),
        2 => read::<Origin>(&file),
        3 => read::<Kept>(&file),
        _ => read::<Value>(&file),
    }
}

fn read<T: DeserializeOwned + Serialize + Debug>(file: &[u8]) {
    let folder = MemoryFolder::default();
    folder.put("value", file);
    let state = StateDir::new(folder.clone());
    let Some(value) = state.read::<T>("value").expect("no content makes reading fail") else {
        assert_eq!(folder.bytes("value.corrupt-1").as_deref(), Some(file));
        assert!(state.read::<T>("value").expect("it is missing now").is_none());
        state.write("value", &Value::Null).expect("a name that was set aside is free");
        return;
    };
    let text = format!("{value:?}");
    state.write("value", &value).expect("what was read can be written");
    let again = state.read::<T>("value").expect("it reads").expect("it is there");
    if !text.contains('.') {
        assert_eq!(format!("{again:?}"), text);
    }
}
