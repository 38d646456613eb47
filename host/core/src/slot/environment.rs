//! U-Boot's environment: variables in one or two copies, each with a CRC-32.
//!
//! Layout (U-Boot `include/env_internal.h`, `env/common.c`): CRC-32 of the data, in the processor's byte order, here
//! little endian; where there are two copies a byte of flags; then the data, `name=value` each ended by a zero byte,
//! the last one by another; what follows is not looked at. Of two valid copies the one with the greater flags counts,
//! where 0 is greater than 255; each save goes to the other one with the next number.
//!
//! The variables of others stay as they are, byte for byte and in their order.

use super::record::crc32;

/// The variables of one copy.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Environment {
    entries: Vec<Vec<u8>>,
}

/// Bytes of the CRC.
const CRC: usize = 4;

/// Which of two valid copies counts, by their flags: 0 or 1.
pub fn current(first: u8, second: u8) -> usize {
    match (first, second) {
        (255, 0) => 1,
        (0, 255) => 0,
        (first, second) => usize::from(second > first),
    }
}

impl Environment {
    /// Reads a copy, with its flags where it has some. `None` if it is torn, rotten or was never written.
    pub fn decode(bytes: &[u8], redundant: bool) -> Option<(Self, u8)> {
        let (crc, rest) = bytes.split_first_chunk::<CRC>()?;
        let (flags, data) =
            if redundant { rest.split_first().map(|(flags, data)| (*flags, data))? } else { (0, rest) };
        if crc32(data) != u32::from_le_bytes(*crc) {
            return None;
        }
        let entries = data.split(|byte| *byte == 0).take_while(|entry| !entry.is_empty());
        Some((Self { entries: entries.map(<[u8]>::to_vec).collect() }, flags))
    }

    /// The bytes of a copy of this size; `None` if the variables do not fit it.
    pub fn encode(&self, flags: Option<u8>, size: usize) -> Option<Vec<u8>> {
        let mut data = Vec::with_capacity(size);
        for entry in &self.entries {
            data.extend_from_slice(entry);
            data.push(0);
        }
        let room = size.checked_sub(CRC + usize::from(flags.is_some()))?;
        // One zero byte at least ends it all.
        if data.len() >= room {
            return None;
        }
        data.resize(room, 0);
        let mut bytes = crc32(&data).to_le_bytes().to_vec();
        bytes.extend(flags);
        bytes.extend_from_slice(&data);
        Some(bytes)
    }

    /// A variable's value, where it is text.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.entries.iter().find_map(|entry| of(entry, name))?;
        std::str::from_utf8(found).ok()
    }

    /// Sets a variable where it stands, or behind all others; without a value it is removed.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let entry = value.map(|value| format!("{name}={value}").into_bytes());
        let at = self.entries.iter().position(|entry| of(entry, name).is_some());
        match (at.and_then(|at| self.entries.get_mut(at)), entry) {
            (Some(place), Some(entry)) => *place = entry,
            (None, Some(entry)) => self.entries.push(entry),
            (_, None) => self.entries.retain(|entry| of(entry, name).is_none()),
        }
    }
}

fn of<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let mut environment = Environment::default();
        environment.set("bootdelay", Some("2"));
        environment.entries.push(b"odd".to_vec());
        environment.entries.push(b"latin=\xff".to_vec());
        environment.set("hotshoe_good", Some("a"));
        environment
    }

    #[test]
    fn what_is_written_is_read() {
        for flags in [None, Some(7)] {
            let bytes = environment().encode(flags, 128).unwrap();
            assert_eq!(bytes.len(), 128);
            let (read, read_flags) = Environment::decode(&bytes, flags.is_some()).unwrap();
            assert_eq!((&read, read_flags), (&environment(), flags.unwrap_or(0)));
            for bit in 0..128 * 8 {
                let mut torn = bytes.clone();
                torn[bit / 8] ^= 1 << (bit % 8);
                let is_flags = flags.is_some() && bit / 8 == 4;
                assert_eq!(Environment::decode(&torn, flags.is_some()).is_some(), is_flags, "bit {bit}");
            }
        }
        assert_eq!(Environment::decode(&[0; 3], false), None);
        assert_eq!(Environment::decode(&[], true), None);
    }

    #[test]
    fn others_stay_as_they_are() {
        let mut changed = environment();
        changed.set("hotshoe_good", Some("b"));
        changed.set("hotshoe_trial", Some("a"));
        changed.set("hotshoe_trial", None);
        changed.set("never", None);
        assert_eq!(changed.entries.len(), environment().entries.len());
        assert_eq!(changed.entries[..3], environment().entries[..3]);
        assert_eq!(changed.value("hotshoe_good"), Some("b"));
        assert_eq!((changed.value("latin"), changed.value("odd"), changed.value("boot")), (None, None, None));
    }

    #[test]
    fn what_does_not_fit_is_not_cut_off() {
        let exact = environment().entries.iter().map(|entry| entry.len() + 1).sum::<usize>() + 1;
        assert!(environment().encode(Some(0), CRC + 1 + exact).is_some());
        assert!(environment().encode(Some(0), CRC + exact).is_none());
        assert!(environment().encode(None, 3).is_none());
    }

    #[test]
    fn the_newer_copy_counts() {
        for (first, second, current_is) in [(1, 2, 1), (2, 1, 0), (255, 0, 1), (0, 255, 0), (3, 3, 0)] {
            assert_eq!(current(first, second), current_is, "{first} {second}");
        }
    }
}
