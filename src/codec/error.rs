//! Why bytes were rejected.

use crate::values::{
    ChunkListError, CommitError, NameError, PathError, RepoNameError, TagNameError, TargetError, TreeError,
};

/// Why bytes are not an encoding. Every rule of the format has a variant of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end too early, inside {0}")]
    Truncated(&'static str),
    /// The value ended before the bytes did.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// A format byte of another version.
    #[error("{what} of format {found}; this version reads format 1")]
    Format {
        /// What was read.
        what: &'static str,
        /// The byte in the place of the format.
        found: u8,
    },
    /// A tag that means nothing.
    #[error("the tag {tag} means nothing in {what}")]
    Tag {
        /// What was read.
        what: &'static str,
        /// The byte in the place of the tag.
        tag: u8,
    },
    /// More bytes than the limit.
    #[error("{what} of {size} bytes; {limit} are the limit")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A name that is none.
    #[error("an entry has {0}")]
    Name(#[from] NameError),
    /// A link target that is none.
    #[error("an entry has {0}")]
    Target(#[from] TargetError),
    /// Entries that do not make a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Fields that do not make a commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A repo name that is none.
    #[error(transparent)]
    RepoName(#[from] RepoNameError),
    /// A tag that is none.
    #[error(transparent)]
    TagName(#[from] TagNameError),
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Chunks that do not make a blob.
    #[error(transparent)]
    Chunks(#[from] ChunkListError),
}
