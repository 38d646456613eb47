//! GRUB's environment block: 1024 bytes of text.
//!
//! Layout (GRUB `grub-core/lib/envblk.c`): a first line that says what it is, then lines `name=value`, in which a
//! backslash takes the next byte as it is, lines that begin with `#` being comments; filled up with `#`.
//!
//! It has no checksum and no second copy, and two sectors: a cut between them would leave a half of each state. So our
//! variables stand together right behind the first line, in a place that keeps its length whatever their values are
//! ([`PLACE`] bytes, a variable of its own filling it up). Then a change of ours, or of GRUB's that keeps a value's
//! length, changes the first sector alone, and a disk writes a sector whole or not at all.

use super::loader::{GOOD, TRIAL, TRIES};

/// Size of a block.
pub const BLOCK: usize = 1024;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";
const FILLER: &str = "hotshoe_filler";
const PLACE: usize = 256;

/// An environment block's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentBlock {
    /// Without the first line and without their ends.
    lines: Vec<Vec<u8>>,
}

impl EnvironmentBlock {
    /// Reads a block. `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(SIGNATURE).filter(|_| bytes.len() == BLOCK)?;
        let mut lines = Vec::new();
        while let Some(end) = end_of_line(rest) {
            let (line, others) = rest.split_at_checked(end)?;
            lines.push(line.to_vec());
            rest = others.strip_prefix(b"\n").unwrap_or(others);
        }
        // What is behind the last line fills the block up.
        rest.iter().all(|byte| *byte == b'#').then_some(Self { lines })
    }

    /// The bytes, with our variables in their place; `None` if they do not fit.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let own = |line: &&Vec<u8>| OWN.iter().any(|name| of(line, name).is_some());
        let mut bytes = SIGNATURE.to_vec();
        for line in self.lines.iter().filter(own).filter(|line| of(line, FILLER).is_none()) {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        let filled = SIGNATURE.len().checked_add(PLACE)?;
        let filler = filled.checked_sub(bytes.len())?.checked_sub(FILLER.len() + 2)?;
        bytes.extend_from_slice(format!("{FILLER}={}\n", "-".repeat(filler)).as_bytes());
        for line in self.lines.iter().filter(|line| !own(line)) {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        if bytes.len() > BLOCK {
            return None;
        }
        bytes.resize(BLOCK, b'#');
        Some(bytes)
    }

    /// A variable's value, where it is text without escapes.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.lines.iter().find_map(|line| of(line, name))?;
        std::str::from_utf8(found).ok().filter(|value| !value.contains('\\'))
    }

    /// Sets one of our variables; without a value it is empty, which for GRUB is the same as not set.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let line = format!("{name}={}", value.unwrap_or_default()).into_bytes();
        match self.lines.iter_mut().find(|line| of(line, name).is_some()) {
            Some(place) => *place = line,
            None => self.lines.push(line),
        }
    }
}

const OWN: [&str; 4] = [GOOD, TRIAL, TRIES, FILLER];

/// Where a line ends that is not the filling.
fn end_of_line(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if !escaped => return Some(at),
            b'\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    None
}

fn of<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &[u8]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, lines].concat();
        bytes.resize(BLOCK, b'#');
        bytes
    }

    #[test]
    fn our_changes_stay_in_the_first_sector() {
        let others =
            [b"# a comment\nsaved_entry=0\nodd=a\\\\b\\\nc\n".as_slice(), &[b'x'; 600], b"=1\n"].concat();
        let before = block(&[others.as_slice(), b"hotshoe_good=a\n"].concat());
        let mut set = EnvironmentBlock::decode(&before).unwrap();
        let moved = set.encode().unwrap();
        let others_at = SIGNATURE.len() + PLACE;
        assert_eq!(moved[others_at..others_at + others.len()], others, "byte for byte, in their order");
        assert_eq!(EnvironmentBlock::decode(&moved).unwrap().encode().unwrap(), moved, "it stays there");
        let long = "x".repeat(64);
        for (good, trial, tries) in
            [("a", Some("b"), Some("1")), (&long, Some(&long), Some("255")), ("b", None, None)]
        {
            set.set(GOOD, Some(good));
            set.set(TRIAL, trial);
            set.set(TRIES, tries);
            let bytes = set.encode().unwrap();
            assert_eq!((bytes.len(), &bytes[others_at..]), (BLOCK, &moved[others_at..]));
            let read = EnvironmentBlock::decode(&bytes).unwrap();
            assert_eq!((read.value(GOOD), read.value(TRIAL)), (Some(good), Some(trial.unwrap_or(""))));
            assert_eq!(read.value("saved_entry"), Some("0"));
        }
        assert!(others_at <= SECTOR);
    }

    #[test]
    fn what_is_no_block_is_not_read() {
        for bytes in [block(b"a=b"), block(b"a=b\n")[..1023].to_vec(), vec![b'#'; BLOCK], vec![0; BLOCK]] {
            assert_eq!(EnvironmentBlock::decode(&bytes), None);
        }
        let full = [b"a=".as_slice(), &[b'x'; 960], b"\n"].concat();
        assert_eq!(EnvironmentBlock::decode(&block(&full)).unwrap().encode(), None, "no room for ours");
        assert_eq!(EnvironmentBlock::decode(&block(b"")).unwrap().value(GOOD), None);
    }
}
