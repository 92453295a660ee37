//! Verifies a data directory: every object is hashed, every tree that is needed is walked, every hard link is looked at.
//!
//! ```text
//! found.rs     what was found; what a live daemon explains
//! primary.rs   a primary's store
//!   blobs.rs     contents and chunks              trees.rs   commits, heads, tags; trees and what they name
//! part.rs      all of it, or what a scrub reads at once
//! client.rs    a client's farm
//!   objects.rs   the index: commits, trees        pieces.rs  shared trees and generations, entry by entry
//!   blobs.rs     blob files: bytes, mode, time    places.rs  what belongs where; `current`
//! ```
//!
//! - Only looks: nothing in a data directory is changed, nothing is repaired (LOCK is taken where no daemon runs).
//! - Each inode is hashed once, however many links it has. Symbolic links are read, never followed.
//! - With a running daemon the check reads a checkpoint of its database. The daemon removes nothing meanwhile, but may add: what is newer
//!   than the checkpoint is nobody's damage.
//!
//! A daemon checks its own data part by part, in the background ([`scrub_primary`], [`scrub_client`]); the findings are the same.
//!
//! Deliberately absent: repair, which is the daemons' business; when a scrub reads what ([`crate::scrub`]); talking to a daemon, which is the command line's.

mod client;
mod found;
mod part;
mod primary;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::datadir::{self, DataDirError, Kind, has_lost_its_list};
use crate::disk::{Dir, DiskError, Lock, LockError};
use crate::farm::{FarmError, Index};
use crate::findings::Finding;
use crate::progress::{Phase, Progress};
use crate::store::{Snapshot, Store, StoreError};
use found::{Found, Since};
pub use part::Part;

/// How many threads read and hash. More would finish sooner, and starve the Puppet Server that runs beside a client.
const THREADS: usize = 2;

/// How a check gets at the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// No daemon runs: the check locks the data directory itself.
    Locked,
    /// A daemon runs, holds off all that removes anything, and has made this copy of its database.
    Checkpoint(PathBuf),
}

/// What a check looked at, and what it found.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Which side the data directory belongs to.
    pub kind: Kind,
    /// What is not as it should be, sorted.
    pub findings: Vec<Finding>,
    /// What was looked at.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long it took.
    pub seconds: f64,
}

/// What a check looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Records of the database, and blob files.
    pub objects: u64,
    /// Entries of trees on disk; 0 on a primary, which has none.
    pub entries: u64,
    /// Bytes of contents that were read and hashed.
    pub bytes: u64,
}

/// Why a data directory could not be checked. Says nothing about its state.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// It is none, or of a newer format.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Somebody uses it, and does not answer on its control socket.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It holds no database.
    #[error("{} holds nothing to check yet: its daemon was never started", path.display())]
    Empty {
        /// The data directory.
        path: PathBuf,
    },
    /// The file system said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The client's index cannot be opened or read.
    #[error(
        "cannot read the client's index; where it is damaged, a start of the client makes it anew, and so does --repair"
    )]
    Index(#[source] FarmError),
    /// The primary's store cannot be opened or read.
    #[error("cannot read the primary's store")]
    Store(#[source] StoreError),
    /// No threads to work with.
    #[error("cannot start threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The caller's progress asked to stop.
    #[error("stopped before everything was checked")]
    Cancelled,
}

impl From<FarmError> for FsckError {
    fn from(error: FarmError) -> Self {
        match error {
            FarmError::Cancelled => FsckError::Cancelled,
            FarmError::Disk(error) => FsckError::Disk(error),
            error => FsckError::Index(error),
        }
    }
}

impl From<StoreError> for FsckError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cancelled => FsckError::Cancelled,
            error => FsckError::Store(error),
        }
    }
}

/// Checks a part of a primary's store as it was at one moment, from within its daemon, on the caller's thread.
pub fn scrub_primary(store: &Snapshot<'_>, part: Part, progress: &Progress) -> Result<Scrubbed, FsckError> {
    progress.begin(Phase::Checking, 0, 0);
    let found = Found::default();
    let counts = one_thread()?.install(|| primary::run(store, part, &found, progress))?;
    Scrubbed::of(found, counts, progress)
}

/// Checks a part of a client's data directory, from within its daemon, which has made a copy of its index and removes nothing meanwhile.
pub fn scrub_client(
    data_dir: &Path,
    checkpoint: &Path,
    part: Part,
    progress: &Progress,
) -> Result<Scrubbed, FsckError> {
    progress.begin(Phase::Checking, 0, 0);
    let found = Found::default();
    let (dir, since) = (Dir::open(data_dir)?, Since::of_checkpoint(checkpoint)?);
    let path = data_dir.canonicalize().map_err(DiskError::at("resolve", data_dir))?;
    let index = Index::open_read_only(checkpoint)?;
    let counts = one_thread()?.install(|| client::check(&dir, &path, &index, part, since, &found, progress))?;
    Scrubbed::of(found, counts, progress)
}

/// A scrub is in no hurry: what serves should not notice it.
fn one_thread() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build()
}

/// What the check of a part gave.
#[derive(Debug)]
pub struct Scrubbed {
    /// What is not as it should be, sorted.
    pub findings: Vec<Finding>,
    /// What was looked at.
    pub counts: Counts,
}

impl Scrubbed {
    fn of(found: Found, counts: Counts, progress: &Progress) -> Result<Self, FsckError> {
        if progress.is_cancelled() {
            return Err(FsckError::Cancelled);
        }
        Ok(Self { findings: found.into_sorted(), counts })
    }
}

/// Checks the data directory at `data_dir`, of either kind. `progress` tells how far it is, and can end it.
pub fn check(data_dir: &Path, access: &Access, progress: &Progress) -> Result<Report, FsckError> {
    let started = Instant::now();
    let kind = datadir::kind_to_read(data_dir)?;
    let dir = Dir::open(data_dir)?;
    // Held until the check is done: no daemon may start meanwhile.
    let _lock = match access {
        Access::Locked => Some(Lock::take(&dir)?),
        Access::Checkpoint(_) => None,
    };
    let database = match (access, kind) {
        (Access::Checkpoint(path), _) => path.clone(),
        (Access::Locked, Kind::Primary) => data_dir.join("store"),
        (Access::Locked, Kind::Client) => data_dir.join("index"),
    };
    let is_one = database.join("CURRENT").exists() || database.is_dir() && has_lost_its_list(&Dir::open(&database)?)?;
    if !is_one {
        return Err(FsckError::Empty { path: data_dir.to_owned() });
    }
    progress.begin(Phase::Checking, 0, 0);
    let found = Found::default();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build()?;
    let counts = threads.install(|| match kind {
        Kind::Primary => primary::check(&Store::open_read_only(&database)?, &found, progress),
        Kind::Client => {
            let since = match access {
                Access::Locked => Since::Ever,
                Access::Checkpoint(path) => Since::of_checkpoint(path)?,
            };
            let path = data_dir.canonicalize().map_err(DiskError::at("resolve", data_dir))?;
            client::check(&dir, &path, &Index::open_read_only(&database)?, Part::All, since, &found, progress)
        }
    })?;
    if progress.is_cancelled() {
        return Err(FsckError::Cancelled);
    }
    Ok(Report { kind, findings: found.into_sorted(), counts, seconds: started.elapsed().as_secs_f64() })
}
