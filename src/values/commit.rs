//! A commit: one state of a repo, and where it came from (`storage-format.md` §4).

use super::{CommitId, RepoName, Subtree, TreePath};

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 65_536;

/// Who made a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Author {
    /// The person's or program's name; may be empty.
    #[serde(default)]
    pub name: String,
    /// Their address; may be empty.
    #[serde(default)]
    pub email: String,
}

/// One state of a repo. Immutable; its id is a hash of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The repo that it belongs to.
    pub repo: RepoName,
    /// Where environments lie; the root for repos that have none.
    pub environments_dir: TreePath,
    /// The root directory.
    pub root: Subtree,
    /// The commit before it; absent exactly when `sequence` is 1.
    pub parent: Option<CommitId>,
    /// 1 for the first commit of a repo, then always one more than the parent's.
    pub sequence: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// Who made it.
    pub author: Author,
    /// Why; at most [`MAX_MESSAGE`] bytes.
    pub message: String,
}

/// Why fields do not make a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("a message of {0} bytes; {MAX_MESSAGE} are the limit")]
    MessageTooLong(usize),
    /// More than 65,535 bytes.
    #[error("an author's name or e-mail of {0} bytes; 65535 are the limit")]
    AuthorTooLong(usize),
    /// An environments directory of more than 4,095 bytes.
    #[error("an environments directory of {0} bytes; 4095 are the limit")]
    PathTooLong(usize),
    /// A first commit with a parent, or a later one without, or sequence 0.
    #[error("sequence {0} does not fit: only sequence 1 has no parent")]
    Sequence(u64),
}

impl Commit {
    /// Checks what the fields' types do not hold.
    pub fn check(&self) -> Result<(), CommitError> {
        let author = self.author.name.len().max(self.author.email.len());
        if self.message.len() > MAX_MESSAGE {
            Err(CommitError::MessageTooLong(self.message.len()))
        } else if author > usize::from(u16::MAX) {
            Err(CommitError::AuthorTooLong(author))
        } else if self.environments_dir.as_bytes().len() > 4095 {
            Err(CommitError::PathTooLong(self.environments_dir.as_bytes().len()))
        } else if self.sequence == 0 || (self.sequence == 1) == self.parent.is_some() {
            Err(CommitError::Sequence(self.sequence))
        } else {
            Ok(())
        }
    }
}
