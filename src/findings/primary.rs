//! What can be wrong in a primary's store (`storage-format.md` §6).

use std::fmt;

use super::{At, path_text};
use crate::values::{BlobId, CommitId, RepoName, TagName, TreeId, TreePath};

/// One thing in a primary's store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum PrimaryFinding {
    /// A blob, or a chunk of one, with other bytes than its id says.
    BlobDamaged {
        /// The blob.
        id: BlobId,
    },
    /// A blob whose record is none, or that the database cannot read.
    BlobUnreadable {
        /// The blob.
        id: BlobId,
    },
    /// A blob that a commit needs and that is not stored.
    BlobMissing {
        /// The blob.
        id: BlobId,
        /// Who needs it.
        at: At,
    },
    /// A blob of another size than a tree says.
    BlobSize {
        /// The blob.
        id: BlobId,
        /// The entry that says so.
        at: At,
        /// Its size in bytes.
        found: u64,
        /// What the entry says.
        recorded: u64,
    },
    /// A chunk of a blob that is not stored.
    ChunkMissing {
        /// The blob.
        blob: BlobId,
        /// The chunk.
        chunk: BlobId,
    },
    /// A chunk that is not as long as the blob's chunk list says, or is chunked itself.
    ChunkLength {
        /// The blob.
        blob: BlobId,
        /// The chunk.
        chunk: BlobId,
    },
    /// A tree with other bytes than its id says, or bytes that are no tree.
    TreeDamaged {
        /// The tree.
        id: TreeId,
    },
    /// A tree that a commit needs and that is not stored.
    TreeMissing {
        /// The tree.
        id: TreeId,
        /// Who needs it.
        at: At,
    },
    /// A tree that holds other totals than its directory's entry says.
    TreeTotals {
        /// The tree.
        id: TreeId,
        /// The entry.
        at: At,
    },
    /// A tree that lies deeper than the format allows.
    TreeTooDeep {
        /// The tree.
        id: TreeId,
        /// Where.
        at: At,
    },
    /// A commit with other bytes than its id says, or bytes that are no commit.
    CommitDamaged {
        /// The commit.
        id: CommitId,
    },
    /// A head that names a commit which is not stored.
    HeadMissingCommit {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// A head that names another repo's commit.
    HeadOtherRepo {
        /// The repo.
        repo: RepoName,
        /// The commit.
        commit: CommitId,
    },
    /// A head that was lost with a damaged database, and that no commit has replaced yet.
    HeadLost {
        /// The repo.
        repo: RepoName,
        /// What it named, where that is known.
        commit: Option<CommitId>,
    },
    /// A head whose record is none.
    HeadUnreadable {
        /// The record's key, for people.
        key: String,
    },
    /// A tag that names a commit which is not stored.
    TagMissingCommit {
        /// The repo.
        repo: RepoName,
        /// The tag.
        tag: TagName,
        /// The commit.
        commit: CommitId,
    },
    /// A tag whose record is none.
    TagUnreadable {
        /// The record's key, for people.
        key: String,
    },
    /// The stat cache vouches for content of a directory of staging that is not stored.
    StatCacheLies {
        /// The repo.
        repo: RepoName,
        /// The directory.
        #[serde(with = "path_text")]
        dir: TreePath,
    },
    /// A record whose key is no id.
    ForeignRecord {
        /// Its kind.
        family: String,
        /// Its key, for people.
        key: String,
    },
    /// Blocks of the database that its own checksums find damaged.
    BlocksDamaged {
        /// The kind of record they hold.
        family: String,
    },
}

impl fmt::Display for PrimaryFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlobDamaged { id } => write!(f, "blob {id} holds other bytes than its id says; clients refuse it"),
            Self::BlobUnreadable { id } => write!(f, "blob {id} cannot be read; clients that need it cannot sync"),
            Self::BlobMissing { id, at } => write!(f, "blob {id} is not stored, but needed: {at}"),
            Self::BlobSize { id, at, found, recorded } => {
                write!(f, "blob {id} has {found} bytes, but {recorded} are said of it: {at}")
            }
            Self::ChunkMissing { blob, chunk } => write!(f, "chunk {chunk} of blob {blob} is not stored"),
            Self::ChunkLength { blob, chunk } => {
                write!(f, "chunk {chunk} of blob {blob} is not as long as the blob's chunk list says")
            }
            Self::TreeDamaged { id } => {
                write!(f, "tree {id} is not what its id says; commits with it cannot be served")
            }
            Self::TreeMissing { id, at } => write!(f, "tree {id} is not stored, but needed: {at}"),
            Self::TreeTotals { id, at } => {
                write!(f, "tree {id} holds other files, links or bytes than its entry says: {at}; clients refuse it")
            }
            Self::TreeTooDeep { id, at } => write!(f, "tree {id} lies deeper than the format allows: {at}"),
            Self::CommitDamaged { id } => write!(f, "commit {id} is not what its id says; it cannot be served"),
            Self::HeadMissingCommit { repo, commit } => {
                write!(f, "the head of {repo} names commit {commit}, which is not stored; nothing can be served")
            }
            Self::HeadOtherRepo { repo, commit } => {
                write!(f, "the head of {repo} names commit {commit}, which belongs to another repo; clients refuse it")
            }
            Self::HeadLost { repo, commit } => {
                let which = commit.map_or_else(String::new, |commit| format!(", {commit},"));
                write!(
                    f,
                    "the newest commit of {repo}{which} was lost; clients keep what they have and are given no older one"
                )
            }
            Self::HeadUnreadable { key } => write!(f, "the head {key} cannot be read; nothing can be served"),
            Self::TagMissingCommit { repo, tag, commit } => {
                write!(f, "the tag {tag} of {repo} names commit {commit}, which is not stored")
            }
            Self::TagUnreadable { key } => write!(f, "the tag {key} cannot be read; GC fails until it is removed"),
            Self::StatCacheLies { repo, dir } => {
                let dir = if dir.is_root() { "its root".to_owned() } else { dir.to_string() };
                write!(
                    f,
                    "the stat cache of {repo} vouches for content of {dir} that is not stored; the next commit would lack it"
                )
            }
            Self::ForeignRecord { family, key } => write!(f, "the record {key} among the {family} is nobody's"),
            Self::BlocksDamaged { family } => {
                write!(
                    f,
                    "blocks of the database that hold {family} are damaged; what is lost of what is needed is told apart from this"
                )
            }
        }
    }
}
