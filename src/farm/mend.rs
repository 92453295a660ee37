//! Single things put right, each after another look at it: what a repair does with what `fsck` found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::Forget;
use super::{
    BlobKey, Deviation, ENVIRONMENTS_LINK, Farm, FarmError, GenerationRecord, Inode, Inspection, MissingBlob, Plan,
    Shape, SharedName, blob_mtime,
};
use crate::disk::{Dir, DiskError, Kind, Step};
use crate::progress::Progress;
use crate::values::{BlobId, CommitId, Entry, Hasher, Name, RepoName, TreeId, TreePath};

/// A directory that is built in one piece.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// A shared tree.
    Shared(SharedName),
    /// The root of a generation.
    Root(RepoName, CommitId),
}

/// Where blobs stand: by the commit that has them.
pub type BlobPlaces = BTreeMap<(RepoName, CommitId), BTreeMap<BlobId, MissingBlob>>;

/// What repos may hold; also what `fsck` takes for theirs.
pub(crate) const IN_REPO: [&[u8]; 5] =
    [b"generations", b"current", b"flush-pending", b".current.new", b".flush-pending.new"];

impl Farm {
    // ---- blob files ----

    /// Whether a blob file looks as it should and holds the bytes that its name says.
    pub fn blob_is_sound(&self, key: BlobKey) -> Result<bool, FarmError> {
        Ok(self.blob_is_good(key)? && self.hash_blob(key)? == Some(key.id))
    }

    pub(super) fn hash_blob(&self, key: BlobKey) -> Result<Option<BlobId>, FarmError> {
        let (dir, name) = (self.blob_dir(key)?, key.file_name());
        match dir.stat_if_there(name.as_str())? {
            Some(stat) if stat.kind == Kind::File => hash(dir, name.as_str()).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes a blob file anew from bytes that are here: its own, where only its inode or record is wrong, or those of its other variant.
    /// Gives whether that worked; where it did not, the file counts as missing until it is fetched.
    pub fn mend_blob(&self, key: BlobKey) -> Result<bool, FarmError> {
        let other = BlobKey { executable: !key.executable, ..key };
        for source in [key, other] {
            if self.hash_blob(source)? == Some(key.id) {
                self.copy_blob(source, key)?;
                return Ok(true);
            }
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.distrusted.insert(key);
        Ok(false)
    }

    /// Gives a blob file whose bytes are right its mode and time again, and with it every link to it.
    pub fn reset_blob(&self, key: BlobKey) -> Result<(), FarmError> {
        if self.hash_blob(key)? != Some(key.id) {
            return Ok(());
        }
        let (dir, name) = (self.blob_dir(key)?, key.file_name());
        dir.set_mode(name.as_str(), key.mode(self.settings.file_mode))?;
        Ok(dir.set_mtime(name.as_str(), blob_mtime(&key.id))?)
    }

    /// Where these blobs stand in commits that have a generation here. Those that stand nowhere are left out.
    pub fn places_of(&self, wanted: &BTreeSet<BlobKey>) -> Result<BlobPlaces, FarmError> {
        let mut places = BlobPlaces::new();
        let (mut left, mut seen) = (wanted.clone(), BTreeSet::new());
        for (repo, id, _) in self.index.generations()? {
            let Some(commit) = self.index.commit(&id)? else { continue };
            let mut ahead = vec![(TreePath::root(), commit.root.id)];
            while let Some((at, tree)) = ahead.pop() {
                if left.is_empty() || !seen.insert(tree) {
                    continue;
                }
                // What is missing is told elsewhere.
                let Ok(Some(tree)) = self.index.tree(&tree) else { continue };
                for (name, entry) in tree.entries() {
                    match entry {
                        Entry::Tree(subtree) => ahead.push((at.join(name), subtree.id)),
                        Entry::File { id: blob, executable, size } => {
                            let key = BlobKey { id: *blob, executable: *executable };
                            if left.remove(&key) {
                                let found = places.entry((repo.clone(), id)).or_default().entry(*blob);
                                let place = found.or_insert_with(|| MissingBlob {
                                    at: at.join(name),
                                    size: *size,
                                    executable: BTreeSet::new(),
                                    damaged: true,
                                });
                                place.executable.insert(*executable);
                            }
                        }
                        Entry::Symlink(_) => {}
                    }
                }
            }
        }
        Ok(places)
    }

    // ---- pieces ----

    /// The entries of a piece that are not as they should be. `None` where the piece itself is not there, or nothing is known of it.
    pub fn wrong_entries(&self, piece: &Piece) -> Result<Option<BTreeSet<TreePath>>, FarmError> {
        let (plan, links);
        let (tree, shape) = match piece {
            Piece::Shared(name) => {
                let Some(found) = self.built(name)? else { return Ok(None) };
                links = found;
                (name.tree(), Shape::shared(&links))
            }
            Piece::Root(repo, commit) => {
                let Some(record) = self.index.generation(repo, commit)? else { return Ok(None) };
                plan = self.plan_again(*commit, &record)?;
                (plan.root, Shape::root(&plan, &self.data.path))
            }
        };
        let Some(dir) = self.open_piece(piece)? else { return Ok(None) };
        self.inspect(&dir, tree, &shape).map(Some)
    }

    fn plan_again(&self, id: CommitId, record: &GenerationRecord) -> Result<Plan, FarmError> {
        let commit = self.index.commit(&id)?.ok_or(FarmError::CommitMissing(id))?;
        self.plan(id, &commit, &record.shared_dirs, None)
    }

    fn inspect(&self, dir: &Dir, tree: TreeId, shape: &Shape<'_>) -> Result<BTreeSet<TreePath>, FarmError> {
        let wrong = Mutex::new((BTreeSet::new(), Vec::new()));
        let inode = |key, inode| match self.blob_record(key) {
            Ok(Some(record)) if record.inodes.last() == Some(&inode) => Inode::Own,
            Ok(Some(record)) if record.inodes.contains(&inode) => Inode::Retired,
            Ok(Some(_)) => Inode::Foreign,
            _ => Inode::Unknown,
        };
        let inspection = Inspection {
            tree: &|id| self.index.tree(id).ok().flatten().map(Arc::new),
            inode: &inode,
            file_mode: self.settings.file_mode,
            tell: &|path, deviation| {
                let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                match deviation {
                    Deviation::Retired(key, stat) => wrong.1.push((path, key, stat)),
                    _ => drop(wrong.0.insert(path)),
                }
            },
            progress: &Progress::default(),
        };
        inspection.piece(dir, tree, shape)?;
        let (mut wrong, retired) = {
            let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *wrong)
        };
        for (path, key, stat) in retired {
            let mut good = stat.mode == key.mode(self.settings.file_mode) && stat.mtime == blob_mtime(&key.id);
            if let Some((dir, name)) = parent_of(dir, &path)? {
                good &= hash(&dir, &name)? == key.id;
            }
            if !good {
                wrong.insert(path);
            }
        }
        Ok(wrong)
    }

    fn open_piece(&self, piece: &Piece) -> Result<Option<Dir>, FarmError> {
        let opened = match piece {
            Piece::Shared(name) => self.trees.open_dir(name.as_str()),
            Piece::Root(repo, commit) => {
                self.generations_dir(repo)?.open_dir(commit.to_string().as_str()).and_then(|dir| dir.open_dir("root"))
            }
        };
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Builds a piece anew, in one step for everybody who looks. Gives whether anything is known of it.
    pub fn rebuild(&self, piece: &Piece) -> Result<bool, FarmError> {
        match piece {
            Piece::Shared(name) => Ok(self.rebuild_trees(&BTreeSet::from([name.clone()]), &Progress::default())? > 0),
            Piece::Root(repo, commit) => {
                let Some(record) = self.index.generation(repo, commit)? else { return Ok(false) };
                self.rebuild_generation(repo, *commit, &record, &Progress::default())?;
                Ok(true)
            }
        }
    }

    /// Vouches no longer for a shared tree, whose record may say what is not so, and builds it anew with every generation that has it.
    pub fn revouch(&self, name: &SharedName) -> Result<(), FarmError> {
        self.index.forget(&Forget { built: vec![name.clone()], ..Forget::default() })?;
        for (repo, commit, record) in self.index.generations()? {
            let plan = self.plan_again(commit, &record)?;
            if let Some(shared) = plan.missing.get(name) {
                self.build_shared(name, shared, &AtomicU64::new(0), &Progress::default())?;
                self.settle()?;
                self.rebuild_generation(&repo, commit, &record, &Progress::default())?;
            }
        }
        Ok(())
    }

    /// Whether a shared tree's record says what its name tells.
    pub fn is_vouched(&self, name: &SharedName) -> Result<bool, FarmError> {
        Ok(self.built(name)?.is_some_and(|links| SharedName::new(&name.tree(), &links) == *name))
    }

    /// Whether a generation's record, `root`, `ids/` and link to its environments are what its commit gives.
    pub fn generation_is_right(&self, repo: &RepoName, commit: &CommitId) -> Result<bool, FarmError> {
        let Some(record) = self.index.generation(repo, commit)? else { return Ok(false) };
        let plan = self.plan_again(*commit, &record)?;
        if self.open_piece(&Piece::Root(repo.clone(), *commit))?.is_none() {
            return Ok(false);
        }
        let ids = match self.environment_ids(repo, commit) {
            Ok(ids) => ids,
            Err(FarmError::Disk(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let wanted: BTreeMap<String, String> =
            plan.environments.iter().map(|(name, tree)| (name.to_string(), tree.to_string())).collect();
        let dir = self.generations_dir(repo)?.open_dir(commit.to_string().as_str())?;
        let link = dir.read_link(ENVIRONMENTS_LINK).ok();
        Ok(ids == wanted && link == plan.environments_link && plan.links == record.shared && plan.rules == record.rules)
    }

    // ---- places ----

    /// Removes what does not belong at `path`, from the data directory. Whatever the index vouches for, or a generation links to, stays.
    pub fn remove_foreign(&self, path: &TreePath) -> Result<(), FarmError> {
        let names: Vec<Name> = path.names().collect();
        let parts: Vec<&[u8]> = names.iter().map(Name::as_bytes).collect();
        let dir = match parts.as_slice() {
            [b"blobs", name] if !is_shard(name) => self.blobs.duplicate()?,
            [b"blobs", shard, name] if !self.has_blob_file(shard, name)? => self.blobs.open_dir(&names[1])?,
            [b"trees", name] if !self.has_shared_tree(name)? => self.trees.duplicate()?,
            [b"repos", name] if parse::<RepoName>(name).is_none() => self.repos.duplicate()?,
            [b"repos", _, name] if !IN_REPO.contains(name) => self.repos.open_dir(&names[1])?,
            [b"repos", repo, b"generations", name] => match parse::<RepoName>(repo) {
                Some(repo) if !self.has_generation_dir(&repo, name)? => self.generations_dir(&repo)?,
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        match names.last() {
            Some(name) => Ok(dir.remove_all(name)?),
            None => Ok(()),
        }
    }

    fn has_blob_file(&self, shard: &[u8], name: &[u8]) -> Result<bool, FarmError> {
        match BlobKey::parse(name).filter(|key| key.dir_name().as_bytes() == shard) {
            Some(key) => Ok(self.blob_record(key)?.is_some()),
            None => Ok(false),
        }
    }

    fn has_shared_tree(&self, name: &[u8]) -> Result<bool, FarmError> {
        let Some(name) = SharedName::parse(name) else { return Ok(false) };
        let links_to = |links: &[(TreePath, SharedName)]| links.iter().any(|(_, linked)| *linked == name);
        let generations = self.index.generations()?;
        Ok(self.built(&name)?.is_some()
            || generations.iter().any(|(_, _, record)| links_to(&record.shared))
            || self.index.all_built()?.values().any(|links| links_to(links)))
    }

    fn has_generation_dir(&self, repo: &RepoName, name: &[u8]) -> Result<bool, FarmError> {
        let Some(commit) = parse::<CommitId>(name) else { return Ok(false) };
        Ok(self.has_generation(repo, &commit)? || self.current(repo)? == Some(commit))
    }

    /// Sets the mode of a place outside trees, which is never a link.
    pub fn set_place_mode(&self, path: &TreePath, mode: u32) -> Result<(), FarmError> {
        match parent_of(&self.data.dir, path)? {
            None => Ok(self.data.dir.set_own_mode(mode)?),
            Some((dir, name)) if dir.stat(&name)?.kind != Kind::Symlink => Ok(dir.set_mode(&name, mode)?),
            Some(_) => Ok(()),
        }
    }

    /// The mode of a place outside trees; `None` where nothing is there.
    pub fn place_mode(&self, path: &TreePath) -> Result<Option<u32>, FarmError> {
        match parent_of(&self.data.dir, path)? {
            None => Ok(Some(self.data.dir.stat_self()?.mode)),
            Some((dir, name)) => Ok(dir.stat_if_there(&name)?.map(|stat| stat.mode)),
        }
    }

    /// Whether anything is there.
    pub fn place_is_there(&self, path: &TreePath) -> Result<bool, FarmError> {
        match self.place_mode(path) {
            Ok(mode) => Ok(mode.is_some()),
            Err(FarmError::Disk(error)) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The directory of an entry below `dir`, and its name there; `None` for `dir` itself.
fn parent_of(dir: &Dir, path: &TreePath) -> Result<Option<(Dir, Name)>, DiskError> {
    let mut names: Vec<Name> = path.names().collect();
    let Some(name) = names.pop() else { return Ok(None) };
    let parent = names.iter().try_fold(dir.duplicate()?, |dir, name| dir.open_dir(name))?;
    Ok(Some((parent, name)))
}

fn hash<N: Step + ?Sized>(dir: &Dir, name: &N) -> Result<BlobId, FarmError> {
    let path = dir.path_of(name);
    let mut file = dir.open_file(name)?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 128 << 10]);
    loop {
        let count = file.read(&mut buffer).map_err(DiskError::at("read", &path))?;
        if count == 0 {
            return Ok(hasher.id());
        }
        hasher.update(&buffer[..count]);
    }
}

fn parse<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Whether a name is one that a directory below `blobs/` has.
fn is_shard(name: &[u8]) -> bool {
    name.len() == 2 && name.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
}
