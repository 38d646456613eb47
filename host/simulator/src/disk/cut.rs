//! What a power cut leaves of what was not yet durable.

use crate::random::Random;

/// Which of the pending changes survive. Each is something that a real disk may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing does.
    Everything,
    /// All does, but for the operation that was cut, which may not have been begun.
    Nothing,
    /// Any sectors and names do, and others do not: which also is any order of writing.
    Some,
    /// As [`Loss::Some`], and sectors may be torn at any byte.
    Torn,
    /// All names do, and no bytes: a rename without what was renamed.
    Names,
    /// All bytes do, and no names.
    Bytes,
    /// All names and lengths do, and no bytes: files of zeros.
    Zeros,
    /// The process is killed and the device stays on: nothing is lost, and nothing is finished.
    Kill,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 8] = [
        Loss::Everything,
        Loss::Nothing,
        Loss::Some,
        Loss::Torn,
        Loss::Names,
        Loss::Bytes,
        Loss::Zeros,
        Loss::Kill,
    ];

    /// Its word in a seed.
    pub fn word(self) -> &'static str {
        match self {
            Loss::Everything => "none",
            Loss::Nothing => "all",
            Loss::Some => "some",
            Loss::Torn => "torn",
            Loss::Names => "names",
            Loss::Bytes => "bytes",
            Loss::Zeros => "zeros",
            Loss::Kill => "kill",
        }
    }

    /// Whether another number gives another outcome.
    pub fn is_random(self) -> bool {
        matches!(self, Loss::Some | Loss::Torn)
    }

    pub(super) fn is_plain(self) -> bool {
        !self.is_random()
    }

    pub(super) fn keeps_bytes(self, random: &mut Random) -> bool {
        match self {
            Loss::Everything | Loss::Names | Loss::Zeros => false,
            Loss::Nothing | Loss::Bytes | Loss::Kill => true,
            Loss::Some | Loss::Torn => random.one_in(2),
        }
    }

    pub(super) fn keeps_length(self, random: &mut Random) -> bool {
        matches!(self, Loss::Zeros) || (self != Loss::Names && self.keeps_bytes(random))
    }

    pub(super) fn keeps_name(self, random: &mut Random) -> bool {
        match self {
            Loss::Everything | Loss::Bytes => false,
            Loss::Nothing | Loss::Names | Loss::Zeros | Loss::Kill => true,
            Loss::Some | Loss::Torn => random.one_in(2),
        }
    }
}
