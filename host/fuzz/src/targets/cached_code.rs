//! Compiled code on the disk: believed with this device's seal over just these bytes, and never else.

use arbitrary::Unstructured;
use hotshoed::plugin::SealKey;

/// A file of the cache and what was done to it.
struct Case<'a> {
    key: [u8; 32],
    subject: &'a str,
    other_subject: &'a str,
    change: u8,
    at: u16,
    by: u8,
    code: &'a [u8],
}

impl<'a> Case<'a> {
    fn of(data: &'a [u8]) -> arbitrary::Result<Self> {
        let mut bytes = Unstructured::new(data);
        Ok(Case {
            key: bytes.arbitrary()?,
            change: bytes.int_in_range(0..=6)?,
            at: bytes.arbitrary()?,
            by: bytes.arbitrary()?,
            subject: bytes.arbitrary()?,
            other_subject: bytes.arbitrary()?,
            code: bytes.take_rest(),
        })
    }
}

/// One file.
pub(super) fn run(data: &[u8]) {
    let Ok(case) = Case::of(data) else { return };
    let key = SealKey::from_bytes(&case.key).expect("32 bytes are a key");
    let seal = key.seal(case.subject, case.code);
    let mut file = [&seal[..], case.code].concat();
    assert_eq!(key.open(case.subject, &file), Some(case.code), "what was sealed is believed");
    let (at, by) = (usize::from(case.at) % file.len(), case.by.max(1));
    let mut subject = case.subject;
    match case.change {
        0 => return,
        1 => file[at] ^= by,
        2 => file.truncate(at),
        3 => file.push(case.by),
        4 if case.other_subject != subject => subject = case.other_subject,
        4 => return,
        5 => {
            let mut other = case.key;
            other[at % 32] ^= by;
            let other = SealKey::from_bytes(&other).expect("32 bytes are a key");
            assert_eq!(other.open(subject, &file), None, "another device's file is not believed");
            return;
        }
        // Whatever the fuzzer makes of it, seal and all.
        _ => file = case.code.to_vec(),
    }
    assert_eq!(key.open(subject, &file), None, "what was changed is not believed");
    // The length keeps subject and code apart.
    if let (Some(last), true) = (case.subject.chars().next_back(), case.subject.len() > 1) {
        let shorter = &case.subject[..case.subject.len() - last.len_utf8()];
        let moved = [&seal[..], last.to_string().as_bytes(), case.code].concat();
        assert_eq!(key.open(shorter, &moved), None);
    }
}
