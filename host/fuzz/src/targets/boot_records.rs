//! What boot loaders and this device tell each other: the two-copy record, GRUB's block, U-Boot's environment, and names of
//! systemd-boot's entries.

use hotshoe_core::slot::{
    self, BLOCK, BootRecord, Environment, EnvironmentBlock, RECORD_BYTES,
    loader::{self, EntryName},
};

use crate::pieces::{choice, text};

/// A kind and its bytes.
pub(super) fn run(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    match kind % 6 {
        0 => record(rest),
        1 => record(&sealed(rest)),
        2 => block(rest),
        3 => environment(rest, kind & 0x80 != 0),
        4 => environment(&summed(rest, kind & 0x80 != 0), kind & 0x80 != 0),
        _ => entries(rest),
    }
}

fn record(bytes: &[u8]) {
    let Ok(record) = slot::decode(bytes) else {
        assert_eq!(slot::newest([bytes]), None);
        return;
    };
    assert_eq!(slot::newest([bytes, b"torn"]), Some(record.clone()));
    // One that no device wrote may name no slot: it is read, and not written again.
    if let Ok(again) = slot::encode(&record) {
        assert_eq!(slot::decode(&again), Ok(record));
    }
}

/// With a checksum that is good.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut body = bytes.to_vec();
    body.resize(RECORD_BYTES - 4, 0);
    body.extend_from_slice(&crc32(&body).to_le_bytes());
    body
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

fn changed(value: impl Fn(&str) -> Option<String>, record: Option<&BootRecord>) {
    for (name, wanted) in record.map(loader::variables).into_iter().flatten() {
        assert_eq!(value(name).filter(|found| !found.is_empty()), wanted, "{name}");
    }
}

fn block(bytes: &[u8]) {
    let filled;
    let bytes = if bytes.len() < BLOCK {
        let mut block = [b"# GRUB Environment Block\n", bytes].concat();
        block.resize(BLOCK, b'#');
        filled = block;
        &filled
    } else {
        bytes
    };
    let Some(mut block) = EnvironmentBlock::decode(bytes) else { return };
    let before = loader::from_variables(|name| block.value(name));
    if let Some(again) = block.encode() {
        assert_eq!(again.len(), BLOCK);
        let again = EnvironmentBlock::decode(&again).expect("what was written reads");
        assert_eq!(loader::from_variables(|name| again.value(name)), before);
    }
    let armed =
        BootRecord { trial: Some(slot::Trial { slot: "b".into(), tries: 3 }), ..BootRecord::fresh("a") };
    for (name, value) in loader::variables(&armed) {
        block.set(name, value.as_deref());
    }
    if let Some(again) = block.encode() {
        let again = EnvironmentBlock::decode(&again).expect("what was written reads");
        changed(|name| again.value(name).map(str::to_owned), Some(&armed));
    }
}

fn summed(bytes: &[u8], redundant: bool) -> Vec<u8> {
    let data = if redundant { bytes.get(1..).unwrap_or_default() } else { bytes };
    let flags = if redundant { bytes.get(..1).unwrap_or(&[0]) } else { &[] };
    [&crc32(data).to_le_bytes(), flags, data].concat()
}

fn environment(bytes: &[u8], redundant: bool) {
    let Some((mut environment, flags)) = Environment::decode(bytes, redundant) else { return };
    let flags = redundant.then_some(flags);
    if let Some(again) = environment.encode(flags, bytes.len()) {
        assert_eq!(again.len(), bytes.len());
        assert_eq!(Environment::decode(&again, redundant).map(|(again, _)| again), Some(environment.clone()));
    }
    let armed =
        BootRecord { trial: Some(slot::Trial { slot: "b".into(), tries: 3 }), ..BootRecord::fresh("a") };
    for (name, value) in loader::variables(&armed) {
        environment.set(name, value.as_deref());
    }
    changed(|name| environment.value(name).map(str::to_owned), Some(&armed));
    if let Some(again) = environment.encode(flags, bytes.len() + 256) {
        let (again, _) = Environment::decode(&again, redundant).expect("what was written reads");
        changed(|name| again.value(name).map(str::to_owned), Some(&armed));
    }
}

fn entries(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut entries: Vec<EntryName> = text.lines().filter_map(EntryName::parse).collect();
    for entry in &entries {
        assert_eq!(EntryName::parse(&entry.file()).as_ref(), Some(entry));
    }
    let _ = loader::from_entries(&entries);
    // What a boot loader's directory is: no two files of a name, no two entries of a slot or generation.
    let mut seen = std::collections::BTreeSet::new();
    entries.retain(|entry| seen.insert(entry.slot.clone()));
    let mut seen = std::collections::BTreeSet::new();
    entries.retain(|entry| seen.insert(entry.generation));
    let [first, second, ..] = entries.as_slice() else { return };
    let wanted = BootRecord {
        trial: Some(slot::Trial { slot: second.slot.clone(), tries: 3 }),
        ..BootRecord::fresh(&first.slot)
    };
    let Some(steps) = loader::renames(&entries, &wanted) else { return };
    for (from, to) in steps {
        let from = EntryName::parse(&from).expect("it was there");
        let at = entries.iter().position(|entry| *entry == from).expect("a step renames what is there");
        entries[at] = EntryName::parse(&to).expect("a step makes a good name");
    }
    let found = loader::from_entries(&entries).expect("the entries hold a record");
    assert_eq!((found.good, found.trial), (wanted.good, wanted.trial));
}
