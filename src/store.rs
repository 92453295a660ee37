//! The primary's store: every object, the heads that name them, and what ingest remembers, in one RocksDB
//! (`storage-format.md` §5, §6, §9).
//!
//! Invariants:
//! - **What a head names is whole.** Objects are written before the commit that names them, the head last, in one synced batch.
//! - **Nobody writes objects beside GC.** Objects can be written only through a [`CommitGuard`]; while one lives, GC sweeps nothing.
//! - **A [`Snapshot`] never changes.** What it could read when it was taken it can read for as long as it lives, whatever GC does.
//!
//! ```text
//! family.rs      the column families, their keys, RocksDB's settings
//! read.rs        reading, the same for the store as it is and for a snapshot
//! write.rs       the guard of a commit under way: blobs, trees, publishing
//! chunking.rs    cutting a large blob
//! stat_cache.rs  what ingest knows of staging's files
//! labels.rs      tags, clients, staging directories
//! diff.rs        what differs between two trees
//! gc.rs          removing what nothing needs
//! gate.rs        who waits for whom
//! log.rs         the log that is replayed when it is opened
//! salvage.rs     a new store of what can be read of a damaged one
//! error.rs       what can go wrong
//! ```
//!
//! Deliberately absent: whether an object's bytes hash to its key (whoever receives objects checks that, and `fsck`); anything
//! asynchronous.

mod chunking;
mod diff;
mod error;
mod family;
mod gate;
mod gc;
mod labels;
mod log;
mod read;
mod salvage;
mod stat_cache;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rocksdb::DB;
use rocksdb::checkpoint::Checkpoint;

pub use diff::{Change, ChangeCounts, count_changes, diff};
pub use error::{Damage, StoreError};
pub use family::{Family, Key};
pub use gc::{GcPlan, GcReport, Retention};
pub use labels::lost_heads;
pub use read::{History, ReadStore, Snapshot, StoredBlob, Visit};
pub use salvage::{DAMAGED, Salvage, Saved};
pub use stat_cache::{CachedFile, StatRecord, each_stat_record};
pub use write::{CommitGuard, WrittenBlob};

use crate::datadir::{DataDir, has_lost_its_list};
use crate::disk::Dir;
use crate::disk::seam::{self, Event};
use crate::values::RepoName;
use gate::Gate;

/// The primary's store. All calls may block.
pub struct Store {
    db: DB,
    gate: Gate,
    /// Held while a commit is given a name, and while GC decides which commits have one.
    naming: Mutex<()>,
}

impl Store {
    /// Opens the store of a data directory, made first where it is missing.
    pub fn open(data: &DataDir) -> Result<Self, StoreError> {
        let dir = data.dir.open_or_make_dir("store", 0o700)?;
        if has_lost_its_list(&dir)? {
            return Err(StoreError::NoList { path: dir.path().to_owned() });
        }
        let store = Self::of(log::open(dir.path()), dir.path())?;
        // RocksDB makes its files durable in their directory; that the directory has a name is for its owner to make so.
        data.dir.sync()?;
        seam::tell(Event::Database { path: store.db.path(), synced: true });
        Ok(store)
    }

    /// Opens a store that nobody writes: a checkpoint, or one whose daemon does not run. Every write to it is an error.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        if path.is_dir() && has_lost_its_list(&Dir::open(path)?)? {
            return Err(StoreError::NoList { path: path.to_owned() });
        }
        Self::of(log::open_read_only(path), path)
    }

    fn of(opened: Result<DB, rocksdb::Error>, path: &Path) -> Result<Self, StoreError> {
        let db = opened.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        Ok(Self { db, gate: Gate::default(), naming: Mutex::default() })
    }

    /// Makes a copy of the store as it is now at `path`, which must not exist and lie on the same file system: files are linked
    /// where they can be.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let made = Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(path));
        made.map_err(|source| StoreError::Checkpoint { path: path.to_owned(), source })
    }

    /// About how many records of a family there are.
    pub fn estimate(&self, family: Family) -> u64 {
        let property = "rocksdb.estimate-num-keys";
        self.db.property_int_value_cf(family.handle(&self.db), property).ok().flatten().unwrap_or(0)
    }

    /// The store as it is now, for as long as the snapshot lives.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::of(&self.db)
    }

    /// Begins a commit of `repo`: waits until no other commit of it is under way and no GC sweeps. Everything that is written through
    /// the guard is safe from GC until the guard is dropped, and afterwards if a published commit names it.
    ///
    /// A thread that holds a guard must not ask for another.
    pub fn begin_commit(&self, repo: &RepoName) -> CommitGuard<'_> {
        CommitGuard::new(self, self.gate.commit(repo))
    }

    /// Keeps GC from removing anything for as long as the answer lives: a GC asked for meanwhile fails with [`StoreError::Held`]. Waits
    /// for one that sweeps already.
    pub fn hold_gc(self: &Arc<Self>) -> GcHold {
        self.gate.hold();
        GcHold { store: Arc::clone(self) }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

/// While it lives, GC removes nothing.
#[derive(Debug)]
pub struct GcHold {
    store: Arc<Store>,
}

impl Drop for GcHold {
    fn drop(&mut self) {
        self.store.gate.release();
    }
}
