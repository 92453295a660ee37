//! Why the farm could not do something.

use std::path::PathBuf;

use crate::codec::DecodeError;
use crate::datadir::DataDirError;
use crate::disk::DiskError;
use crate::values::{BlobId, CommitId, TreeId};

/// Why the farm could not do something. Nothing that was visible before has changed.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] Box<DataDirError>),
    /// The file system said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The data directory spans file systems, or has no hard links.
    #[error("{} must lie on one file system that has hard links", path.display())]
    FileSystem {
        /// The data directory.
        path: PathBuf,
        /// What was tried.
        source: DiskError,
    },
    /// The index's database failed.
    #[error("the index failed{}", what_to_do(.0))]
    Index(#[from] rocksdb::Error),
    /// A record of the index cannot be decoded.
    #[error("the index's family {family} has a damaged record for {key}; run sceneshift fsck --repair")]
    Damaged {
        /// The column family.
        family: &'static str,
        /// The record's key.
        key: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A tree object is not here.
    #[error("the tree {0} is not here")]
    TreeMissing(TreeId),
    /// A commit object is not here.
    #[error("the commit {0} is not here")]
    CommitMissing(CommitId),
    /// No generation of this commit.
    #[error("there is no generation of commit {0}")]
    GenerationMissing(CommitId),
    /// A blob file is not here, or not as it should be.
    #[error("the blob {0} is not here")]
    BlobMissing(BlobId),
    /// The bytes of a blob are others than its id says.
    #[error("what arrived as blob {expected} has the id {found}")]
    WrongContent {
        /// What was expected.
        expected: BlobId,
        /// What the bytes hash to.
        found: BlobId,
    },
    /// A directory is deeper than the format allows.
    #[error("the tree {0} lies deeper than {max} levels", max = crate::values::MAX_DEPTH)]
    TooDeep(TreeId),
    /// The index has lost its list of files.
    #[error("the index {} has lost the file CURRENT", .0.display())]
    NoIndexList(PathBuf),
    /// The job was asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl FarmError {
    /// Whether the index itself is damaged, so that it must be made anew.
    pub fn is_index_damage(&self) -> bool {
        match self {
            FarmError::NoIndexList(_) => true,
            // A file that is not there is told like any other trouble with files.
            FarmError::Index(error) => {
                error.kind() == rocksdb::ErrorKind::Corruption || error.as_ref().contains("No such file or directory")
            }
            _ => false,
        }
    }

    /// Whether the cause is a full disk: room, not repair, is what is needed.
    pub fn is_full(&self) -> bool {
        match self {
            FarmError::Disk(error) => error.is_full(),
            FarmError::Index(error) => is_full(error),
            _ => false,
        }
    }
}

fn is_full(error: &rocksdb::Error) -> bool {
    // Its kind does not tell, but its text ends with what the system said.
    let text = error.as_ref();
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// A database that the disk failed in a write takes no more until it is opened anew; one that had no room goes on by itself.
fn what_to_do(error: &rocksdb::Error) -> &'static str {
    match error.kind() {
        rocksdb::ErrorKind::IOError if is_full(error) => "; make room on the disk",
        rocksdb::ErrorKind::IOError => "; once the disk is in order, restart the client",
        _ => "",
    }
}
