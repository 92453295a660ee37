//! Tests only: what a power cut may leave of a data directory, at every moment of a run.
//!
//! A [`Recording`] listens at the seam. After each call it looks at the directory, notes what differs from before as one change of names, and
//! keeps two pictures: what is live, and what is durable. Every file that was ever there is kept alive by a hard link in a vault, so that a
//! state put back has the same inodes as the run had.
//!
//! From each `Point` several `State`s follow, each of them one that the file system allows (`storage-format.md` §10):
//!
//! - **loose**: of the changes of names since the last sync any may be there, in any order, but those of the same name or the same directory, which
//!   keep theirs. One call is one change: a rename is made or not. `fsync` of a directory makes its own names durable, `syncfs` all.
//! - **journal**: as ext4 and xfs do, a prefix of the changes is there; any sync makes durable all that came before.
//! - In both, the bytes of a file that was not synced may be there, or not at all, or in part, or as zeros, and its mode and time may be missing.
//! - The database is there as it was written, or up to its last synced write, or up to any write between.
//!
//! ```text
//! record.rs   what happened
//! state.rs    what may be left of it
//! put.rs      a state, put where the data directory was
//! ```
//!
//! Deliberately absent: what RocksDB does to its own files between two calls (it is trusted); a torn write inside a block; an inode number
//! that is used again; rights and owners of directories that come back older than they were.

mod put;
mod record;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::seam::Event;
use record::Recorder;
pub(crate) use record::{Deaf, Recording};
pub(crate) use state::Variant;

static RECORDERS: Mutex<Vec<Recorder>> = Mutex::new(Vec::new());

fn recorders() -> MutexGuard<'static, Vec<Recorder>> {
    RECORDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what happens, on any thread.
pub(crate) fn tell(event: Event<'_>) {
    let path = match event {
        Event::Changed(path) | Event::Synced(path, _) | Event::FileSystemSynced(path) => path,
        Event::Database { path, .. } => path,
    };
    if let Some(recorder) = recorders().iter_mut().find(|recorder| recorder.is_at(path)) {
        recorder.hear(&event);
    }
}

/// Says that the run of the data directory `root` has come so far: what the test expects of a cut from now on.
pub(crate) fn reached(root: &Path, stage: usize) {
    if let Some(recorder) = recorders().iter_mut().find(|recorder| recorder.is_at(root)) {
        recorder.reached(stage);
    }
}

/// Records `run`, which works on the data directory `root`. `vault` lies on the same file system and outlives every state. `deaf` says which
/// syncs count for nothing, as if the program had forgotten them.
pub(crate) fn record(root: &Path, vault: &Path, deaf: Option<Deaf>, run: impl FnOnce()) -> Recording {
    let recorder = Recorder::start(root, vault, deaf);
    let root: PathBuf = root.to_owned();
    recorders().push(recorder);
    run();
    let mut all = recorders();
    let at = all.iter().position(|recorder| recorder.is_at(&root)).expect("it was pushed above");
    all.swap_remove(at).finish()
}
