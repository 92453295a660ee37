//! What can go wrong in the store.

use std::io;
use std::path::PathBuf;

use super::family::{Family, Key};
use crate::codec::DecodeError;
use crate::disk::DiskError;
use crate::values::{ChunkListError, CommitError, CommitId, RepoName, TreeId};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("cannot open the store at {}; where it is damaged, `sceneshift fsck --repair` of the data directory saves what can be read", path.display())]
    Open {
        /// Where it lies.
        path: PathBuf,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// Its list of files is gone.
    #[error("the store at {} has lost the file CURRENT; `sceneshift fsck --repair` of the data directory saves what can be read", path.display())]
    NoList {
        /// Where it lies.
        path: PathBuf,
    },
    /// No checkpoint could be made.
    #[error("cannot make a checkpoint of the store at {}", path.display())]
    Checkpoint {
        /// Where it was to be.
        path: PathBuf,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// RocksDB cannot read.
    #[error("cannot read the {family} of the store")]
    Read {
        /// What was read.
        family: Family,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// RocksDB cannot write.
    #[error("cannot write to the {family} of the store")]
    Write {
        /// What was written.
        family: Family,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// A record is there, and is not what was written.
    #[error("the record {key} among the {family} of the store is damaged; `sceneshift fsck` tells what else is")]
    Damaged {
        /// Its kind.
        family: Family,
        /// Its key.
        key: Key,
        /// What is wrong with it.
        source: Damage,
    },
    /// The database's own checksum does not hold somewhere, so that records cannot be walked through; which of them are lost is told by
    /// reading each.
    #[error("blocks of the database that hold {family} are damaged; `sceneshift fsck` tells what is lost")]
    DamagedBlocks {
        /// Their kind.
        family: Family,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// A record is not there, and another names it.
    #[error("the record {key} is missing among the {family} of the store; `sceneshift fsck` tells what else is")]
    Missing {
        /// Its kind.
        family: Family,
        /// Its key.
        key: Key,
    },
    /// The content to be stored cannot be read.
    #[error("cannot read the content to be stored")]
    Content(#[source] io::Error),
    /// The content that was asked for cannot be handed on.
    #[error("cannot hand on the content of a blob")]
    Output(#[source] io::Error),
    /// A content that no chunk list can hold.
    #[error("cannot store the content in chunks")]
    Chunks(#[source] ChunkListError),
    /// A commit whose fields do not fit.
    #[error("the commit cannot be stored")]
    Unfit(#[source] CommitError),
    /// A commit that does not follow the head.
    #[error("the commit does not follow the head of {repo}, which is {}; make it anew", show(head.as_ref()))]
    HeadMoved {
        /// The repo.
        repo: RepoName,
        /// Its head.
        head: Option<CommitId>,
    },
    /// A commit whose root was not written.
    #[error("the commit names the tree {0}, which was not written")]
    NotWhole(TreeId),
    /// A commit of another repo than the guard's.
    #[error("a commit of {commit} cannot be published under the guard of {guard}")]
    OtherRepo {
        /// The commit's repo.
        commit: RepoName,
        /// The guard's.
        guard: RepoName,
    },
    /// A commit that is to get a name is not there.
    #[error("the commit {0} is not in the store")]
    NoSuchCommit(CommitId),
    /// GC may not run now.
    #[error("fsck is reading the store, or another GC runs; try again when it is done")]
    Held,
    /// The caller's progress asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// The directory of the store cannot be opened or made.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn show(head: Option<&CommitId>) -> String {
    head.map_or_else(|| "not there yet".to_owned(), CommitId::to_string)
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Its bytes are no encoding.
    #[error("its bytes are not what they should be")]
    Decode(#[from] DecodeError),
    /// The database's own checksum does not hold.
    #[error("the database finds its block damaged")]
    Block(#[source] rocksdb::Error),
    /// A chunk that has another length than the list says.
    #[error("it has {found} bytes, and {expected} in the chunk list that names it")]
    ChunkLength {
        /// What the list says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Trees in trees, deeper than the format allows.
    #[error("it lies deeper in other trees than the format allows")]
    TooDeep,
}

impl StoreError {
    /// Whether the database itself is damaged, so that it must be made anew of what can still be read.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Open { source, .. } => {
                // A file that is not there is told like any other trouble with files.
                source.kind() == rocksdb::ErrorKind::Corruption || source.as_ref().contains("No such file or directory")
            }
            Self::NoList { .. } | Self::DamagedBlocks { .. } => true,
            Self::Damaged { source, .. } => matches!(source, Damage::Block(_)),
            _ => false,
        }
    }

    /// Whether the disk has no room left: room, not repair, is what is needed. The database goes on by itself some seconds after there is
    /// room again.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Checkpoint { source, .. } | Self::Write { source, .. } => {
                // Its kind does not tell, but its text ends with what the system said.
                let text = source.as_ref();
                text.contains("No space left on device") || text.contains("Disk quota exceeded")
            }
            Self::Disk(error) => error.is_full(),
            _ => false,
        }
    }

    /// Whether the disk failed in a write, and not for want of room: the database takes no more writes until it is opened anew.
    pub fn is_broken_disk(&self) -> bool {
        match self {
            Self::Checkpoint { source, .. } | Self::Write { source, .. } => {
                source.kind() == rocksdb::ErrorKind::IOError && !self.is_full()
            }
            _ => false,
        }
    }

    /// A read of one record that RocksDB refused.
    pub(super) fn reading(family: Family, key: &[u8], source: rocksdb::Error) -> Self {
        if source.kind() == rocksdb::ErrorKind::Corruption {
            Self::damaged(family, key, Damage::Block(source))
        } else {
            Self::Read { family, source }
        }
    }

    /// A walk through records that RocksDB broke off.
    pub(super) fn walking(family: Family, source: rocksdb::Error) -> Self {
        if source.kind() == rocksdb::ErrorKind::Corruption {
            Self::DamagedBlocks { family, source }
        } else {
            Self::Read { family, source }
        }
    }

    /// A record that is not what it should be.
    pub(super) fn damaged(family: Family, key: &[u8], source: impl Into<Damage>) -> Self {
        Self::Damaged { family, key: Key::new(family, key), source: source.into() }
    }

    /// A record that is named and not there.
    pub(super) fn missing(family: Family, key: &[u8]) -> Self {
        Self::Missing { family, key: Key::new(family, key) }
    }
}
