//! What of a data directory is looked at: all of it, or one of 256 parts.
//!
//! A part is what has an id that begins with one byte. Ids are hashes, so that parts are alike in size.
//!
//! All parts together find what a whole check does, which a test holds for every damaged fixture. Deliberately absent: when a part is due.

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// What has an id that begins with this byte; and what is small enough to be looked at with each part.
    Byte(u8),
}

impl Part {
    /// Whether what has this id is to be looked at.
    pub(super) fn holds(self, id: &[u8]) -> bool {
        match self {
            Part::All => true,
            Part::Byte(byte) => id.first() == Some(&byte),
        }
    }

    /// The first bytes of the ids to be looked at.
    pub(super) fn first_bytes(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Part::All => 0..=u8::MAX,
            Part::Byte(byte) => byte..=byte,
        }
    }

    /// Whether a directory below `blobs/` of this name is to be looked into. One with another name is nobody's, and left to a whole check.
    pub(super) fn has_shard(self, name: &[u8]) -> bool {
        match self {
            Part::All => true,
            Part::Byte(byte) => name == format!("{byte:02x}").as_bytes(),
        }
    }

    /// Whether this is everything.
    pub(super) fn is_all(self) -> bool {
        self == Part::All
    }

    /// Whether what belongs to no id, and is too much for each part, is to be looked at.
    pub(super) fn is_first(self) -> bool {
        matches!(self, Part::All | Part::Byte(0))
    }
}
