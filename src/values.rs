//! The values everything else is about: ids, names, trees, commits. Pure: no I/O, no encoding.
//!
//! Every type here is checked once, in its constructor; whoever holds one need not check again. A [`Name`] cannot be
//! `..` or hold a `/`, so no path built from names leaves its root; a [`Tree`] cannot be unsorted or hold a name twice.
//!
//! Deliberately absent: bytes on disk or wire (see [`crate::codec`]), file-system metadata, times other than a commit's.

mod chunks;
mod commit;
mod digest;
mod name;
mod path;
mod tree;

pub use chunks::{Chunk, ChunkList, ChunkListError, MAX_WHOLE_BLOB};
pub use commit::{Author, Commit, CommitError, MAX_MESSAGE};
pub use digest::{BlobId, CommitId, Hasher, ParseIdError, TreeId};
pub use name::{Name, NameError, RepoName, RepoNameError, TagName, TagNameError, Target, TargetError};
pub use path::{PathError, TreePath};
pub use tree::{Entry, MAX_DEPTH, Subtree, Totals, TotalsOverflow, Tree, TreeError};
