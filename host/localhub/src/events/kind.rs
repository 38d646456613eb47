//! The kinds of events, and sets of them as listeners name them: `connected,twin`.

use serde::Serialize;

/// What an event is about. The names are those of the page, of the event stream and of its parameter `kinds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A device connected.
    Connected,
    /// Its connection ended.
    Disconnected,
    /// It sent a message.
    Telemetry,
    /// A section of its twin changed.
    Twin,
    /// A direct method was answered, or not.
    Method,
    /// An identity was made.
    Created,
    /// An identity was changed.
    Updated,
    /// An identity was deleted.
    Deleted,
    /// A job changed its state.
    Job,
    /// A configuration was made, changed or deleted.
    Configuration,
    /// A packet crossed the wire.
    Packet,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Connected,
        Self::Disconnected,
        Self::Telemetry,
        Self::Twin,
        Self::Method,
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::Job,
        Self::Configuration,
        Self::Packet,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Telemetry => "telemetry",
            Self::Twin => "twin",
            Self::Method => "method",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Job => "job",
            Self::Configuration => "configuration",
            Self::Packet => "packet",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);
    /// Every kind but packets, of which there are several for each of the others.
    pub const USUAL: Self = Self(Self::ALL.0 & !(1 << Kind::Packet as u16));

    /// One kind.
    #[must_use]
    pub fn only(kind: Kind) -> Self {
        Self(1 << kind.index())
    }

    /// Reads names with commas between them; the error names the unknown one and all that are known.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).try_fold(Self(0), |kinds, name| {
            let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = known.ok_or_else(|| {
                let all: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                format!("there is no kind of event {name:?}; there are {}", all.join(", "))
            })?;
            Ok(Self(kinds.0 | Self::only(kind).0))
        })
    }

    /// Whether the kind is among them.
    #[must_use]
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & Self::only(kind).0 != 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_agree() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(Kinds::parse(kind.name()), Ok(Kinds::only(kind)));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!(!Kinds::USUAL.contains(Kind::Packet) && Kinds::USUAL.contains(Kind::Configuration));
        assert!(Kinds::parse("twin,twins").unwrap_err().contains("telemetry, twin, method"));
    }
}
