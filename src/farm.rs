//! The client's data directory: blob files, immutable trees of hard links, generations, `current` (`storage-format.md` §8).
//!
//! ```text
//! index.rs       what is known and vouched for: the RocksDB beside the files
//! layout.rs      how things are called on disk, their modes and times
//! shared.rs      which directories match `shared-dirs`
//! links.rs       where symbolic links lead, and which directories must stay in place for them
//! needs.rs       what a commit needs that is not here
//! plan.rs        from a commit to the trees that it needs: values only, no writes
//! blobs.rs       blob files: written, checked, given a fresh inode
//! shape.rs       how links inside a tree or a root are written
//! build.rs       from a plan to directories of hard links
//! generation.rs  what Puppet sees: generations, `current`, the swap, `flush-pending`
//! scope.rs       whose code differs between two commits, through every link
//! prune.rs       what nothing needs any more
//! heal.rs        trees that hold a wrong file, built anew
//! mend.rs        single things put right, for a repair
//! recover.rs     what a crash may have left
//! aside.rs       an index that is damaged itself
//! survey.rs      everything that the index knows, for fsck
//! inspect.rs     whether a tree or a root on disk is what it should be
//! ```
//!
//! What always holds: a name in `blobs/`, `trees/` or `generations/` that the index vouches for is complete and durable. A tree under
//! `trees/` never changes. `current` names a whole generation, or does not exist.
//!
//! Deliberately absent: where objects come from, when to deploy, how requests are paused.

mod aside;
mod blobs;
mod build;
mod error;
mod generation;
mod heal;
mod index;
mod inspect;
mod layout;
mod links;
mod mend;
mod needs;
mod plan;
mod prune;
mod recover;
mod scope;
mod shape;
mod shared;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

pub use aside::DAMAGED_INDEX;
pub use blobs::{BlobWriter, WholeBlob};
pub use build::Built;
pub use error::FarmError;
pub use generation::{Generation, RepoState, Swap, parse_current};
pub use index::{BlobRecord, ChunkPlace, GenerationRecord, Index, Raw as RawRecord};
pub use inspect::{Deviation, Inode, Inspection};
pub use layout::{BlobKey, ENVIRONMENTS_LINK, SharedName, blob_mtime};
pub(crate) use mend::IN_REPO;
pub use mend::{BlobPlaces, Piece};
pub use needs::{MissingBlob, MissingTree};
pub use plan::{Ground, Plan, SharedTree};
pub use prune::{Pruned, Retention};
pub use shape::Shape;
pub use shared::{PatternError, SharedDirs};
pub use survey::{Flaw, Survey};

use crate::datadir::{DataDir, DataDirError, Kind};
use crate::disk::Dir;
use crate::progress::Progress;
use crate::values::{BlobId, ChunkList, Commit, CommitId, Tree, TreeId};

/// The index's note of the permission bits that files have at most: what `fsck` expects.
const FILE_MODE: &str = "file-mode";

/// Settings of a farm that concern all its repos.
#[derive(Debug, Clone)]
pub struct FarmSettings {
    /// Permission bits that files have at most.
    pub file_mode: u32,
    /// The group that may read the farm, by number; `None` leaves groups alone.
    pub reader_group: Option<u32>,
}

impl Default for FarmSettings {
    fn default() -> Self {
        Self { file_mode: 0o555, reader_group: None }
    }
}

/// An open, locked client data directory.
#[derive(Debug)]
pub struct Farm {
    data: DataDir,
    index: Index,
    settings: FarmSettings,
    trees: Dir,
    repos: Dir,
    blob_dirs: Vec<OnceLock<Dir>>,
    blobs: Dir,
    /// Written, not yet vouched for.
    pending: Mutex<Pending>,
    /// Makes names in `tmp/` unique within this process; `tmp/` is empty at start.
    counter: AtomicU64,
    /// Taken while a blob file gets a fresh inode.
    renewal: Mutex<()>,
    /// Whether a build or a pruning failed: something may stand in its place that no record names.
    littered: AtomicBool,
}

/// What stands in its place but is not yet durable.
#[derive(Debug, Default)]
struct Pending {
    blobs: HashMap<BlobKey, BlobRecord>,
    chunked: Vec<(BlobKey, ChunkList)>,
    built: HashMap<SharedName, Vec<(crate::values::TreePath, SharedName)>>,
    /// Blobs whose file was vouched for and is another now: trees may hold the one that was wrong.
    replaced: BTreeSet<BlobId>,
    /// Blob files that look right and are not: they count as missing until they are written anew.
    distrusted: HashSet<BlobKey>,
}

impl Farm {
    /// Opens the data directory at `path`, made first where it is missing, and removes what a crash left.
    pub fn open(path: &Path, settings: FarmSettings) -> Result<Self, FarmError> {
        Self::open_telling(path, settings, &Progress::default())
    }

    /// The same. `progress` tells how far that is, and can end it: the next open does the rest.
    pub fn open_telling(path: &Path, settings: FarmSettings, progress: &Progress) -> Result<Self, FarmError> {
        let data = DataDir::open(path, Kind::Client)?;
        Self::open_data(data, settings, progress)
    }

    /// The same, for a data directory that must exist.
    pub fn open_existing(path: &Path, settings: FarmSettings) -> Result<Self, FarmError> {
        let data = DataDir::open_existing(path, Kind::Client)?;
        Self::open_data(data, settings, &Progress::default())
    }

    fn open_data(data: DataDir, settings: FarmSettings, progress: &Progress) -> Result<Self, FarmError> {
        let dir = &data.dir;
        dir.open_or_make_dir("index", 0o700)?.set_own_mode(0o700)?;
        let blobs = dir.open_or_make_dir("blobs", 0o700)?;
        let trees = dir.open_or_make_dir("trees", 0o750)?;
        let repos = dir.open_or_make_dir("repos", 0o750)?;
        for way in [dir, &trees, &repos] {
            way.set_own_mode(0o750)?;
            if let Some(group) = settings.reader_group
                && let Err(error) = way.set_own_group(group)
            {
                // Only root, or a member of the group, may do that; whoever runs as neither has set up access in another way.
                tracing::warn!(path = %way.path().display(), %group, error = %error.io(), "cannot give the farm to its readers");
            }
        }
        let index = Self::open_index(&data)?;
        let blob_dirs = std::iter::repeat_with(OnceLock::new).take(256).collect();
        let farm = Self {
            data,
            index,
            settings,
            trees,
            repos,
            blob_dirs,
            blobs,
            pending: Mutex::default(),
            counter: AtomicU64::new(0),
            renewal: Mutex::new(()),
            littered: AtomicBool::new(false),
        };
        farm.check_file_system()?;
        farm.recover(progress)?;
        farm.note_file_mode()?;
        Ok(farm)
    }

    fn note_file_mode(&self) -> Result<(), FarmError> {
        let mode = format!("{:04o}", self.settings.file_mode).into_bytes();
        if self.index.meta(FILE_MODE)?.as_ref() != Some(&mode) {
            self.index.put_meta(FILE_MODE, &mode)?;
        }
        Ok(())
    }

    /// What is known and vouched for.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The group that may read the farm, by number.
    pub fn reader_group(&self) -> Option<u32> {
        self.settings.reader_group
    }

    /// The data directory.
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Keeps tree objects, given by their canonical bytes. Not synced: whatever is synced later in the index vouches for them.
    pub fn put_trees(&self, trees: &[(TreeId, Vec<u8>)]) -> Result<(), FarmError> {
        self.index.put_trees(trees)
    }

    /// Keeps a commit object, like [`Farm::put_trees`].
    pub fn put_commit(&self, commit: &Commit) -> Result<CommitId, FarmError> {
        self.index.put_commit(commit)
    }

    /// Makes everything durable that was written since, and vouches for it: the only way into the index for blobs and trees.
    pub fn settle(&self) -> Result<(), FarmError> {
        self.settle_with(None)
    }

    /// The same, vouching for a generation too.
    fn settle_with(
        &self,
        generation: Option<(&crate::values::RepoName, CommitId, &GenerationRecord)>,
    ) -> Result<(), FarmError> {
        let mut pending = self.pending.lock().expect("no holder of this lock panics");
        if pending.blobs.is_empty() && pending.built.is_empty() && generation.is_none() {
            return Ok(());
        }
        // The files first: the index must never vouch for what a power cut could take back.
        self.data.dir.sync_file_system()?;
        self.index.vouch(&pending.blobs, &pending.chunked, &pending.built, &pending.replaced, generation)?;
        let distrusted = std::mem::take(&mut pending.distrusted);
        *pending = Pending { distrusted, ..Pending::default() };
        Ok(())
    }

    /// A name in `tmp/` that is not in use.
    fn temporary(&self) -> String {
        format!("{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// The tree of this id, which a commit or tree that is kept names.
    pub fn tree(&self, id: &TreeId) -> Result<Tree, FarmError> {
        self.index.tree(id)?.ok_or(FarmError::TreeMissing(*id))
    }

    /// Whether the tree object of this id is here.
    pub fn has_tree(&self, id: &TreeId) -> Result<bool, FarmError> {
        self.index.has_tree(id)
    }

    /// Where a chunk of this id can be copied from.
    pub fn chunk_place(&self, id: &BlobId) -> Result<Option<ChunkPlace>, FarmError> {
        self.index.chunk(id)
    }

    /// A link and a rename across the directory must work: one file system, and one that has hard links.
    fn check_file_system(&self) -> Result<(), FarmError> {
        let (tmp, name) = (&self.data.tmp, self.temporary());
        tmp.create_file(name.as_str(), 0o400)?;
        let tried = [&self.blobs, &self.trees, &self.repos].into_iter().try_for_each(|place| {
            // One may be left of a start that was cut short.
            place.remove_all(".probe")?;
            tmp.link(name.as_str(), place, ".probe")?;
            place.remove_file(".probe")
        });
        tmp.remove_file(name.as_str())?;
        tried.map_err(|source| FarmError::FileSystem { path: self.data.path.clone(), source })
    }
}

impl From<DataDirError> for FarmError {
    fn from(error: DataDirError) -> Self {
        FarmError::DataDir(Box::new(error))
    }
}
