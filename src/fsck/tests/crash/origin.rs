//! Where versions come from: plain directories, their objects, and a client's steps to bring one live.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::codec;
use crate::farm::testing::{SHARED, Seen, seen};
use crate::farm::{BlobKey, Farm, SharedDirs};
use crate::pause::Paused;
use crate::progress::Progress;
use crate::values::{Author, BlobId, Commit, CommitId, Entry, Name, RepoName, Subtree, Target, Tree, TreeId, TreePath};

pub(super) fn repo() -> RepoName {
    "puppet-code".parse().unwrap()
}

/// A commit, and all that a primary has of it.
pub(super) struct Version {
    pub(super) commit: Commit,
    pub(super) id: CommitId,
    /// From the root down.
    trees: Vec<(TreeId, Vec<u8>)>,
    blobs: HashMap<BlobId, Vec<u8>>,
    /// What whoever follows links must see.
    pub(super) seen: BTreeMap<PathBuf, Seen>,
}

impl Version {
    /// The commit of a directory.
    pub(super) fn of(dir: &Path, parent: Option<&Version>) -> Self {
        let (mut trees, mut blobs) = (Vec::new(), HashMap::new());
        let root = put_directory(dir, &mut trees, &mut blobs);
        trees.reverse();
        let commit = Commit {
            repo: repo(),
            environments_dir: TreePath::new(b"environments").unwrap(),
            root,
            parent: parent.map(|parent| parent.id),
            sequence: parent.map_or(1, |parent| parent.commit.sequence + 1),
            time: 1_700_000_000_000,
            author: Author::default(),
            message: String::new(),
        };
        let id = CommitId::of(&codec::encode_commit(&commit));
        Self { commit, id, trees, blobs, seen: seen(dir) }
    }
}

fn put_directory(dir: &Path, trees: &mut Vec<(TreeId, Vec<u8>)>, blobs: &mut HashMap<BlobId, Vec<u8>>) -> Subtree {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let entry = if metadata.is_dir() {
            Entry::Tree(put_directory(&path, trees, blobs))
        } else if metadata.is_symlink() {
            Entry::Symlink(Target::new(fs::read_link(&path).unwrap().as_os_str().as_bytes()).unwrap())
        } else {
            let content = fs::read(&path).unwrap();
            let (id, size) = (BlobId::of(&content), content.len() as u64);
            blobs.insert(id, content);
            Entry::File { id, executable: metadata.permissions().mode() & 0o100 != 0, size }
        };
        entries.push((Name::new(path.file_name().unwrap().as_bytes()).unwrap(), entry));
    }
    let tree = Tree::from_entries(entries).unwrap();
    let canonical = codec::encode_tree(&tree);
    let id = TreeId::of(&canonical);
    trees.push((id, canonical));
    Subtree { id, totals: tree.totals() }
}

/// Fetches and builds a version, in the client's order: a whole stream first, then what is missing all the same.
pub(super) fn sync(farm: &Farm, version: &Version) {
    if farm.has_generation(&repo(), &version.id).unwrap() {
        return;
    }
    if farm.index().commit(&version.id).unwrap().is_none() {
        farm.put_commit(&version.commit).unwrap();
        for (id, canonical) in &version.trees {
            if !farm.has_tree(id).unwrap() {
                farm.put_trees(&[(*id, canonical.clone())]).unwrap();
            }
        }
        let shared = SharedDirs::new(&SHARED).unwrap();
        let plan = farm.plan(version.id, &version.commit, &shared, None).unwrap();
        for (id, missing) in farm.missing_blobs(&plan).unwrap() {
            let lacking = missing
                .executable
                .iter()
                .filter(|executable| !farm.blob_is_good(BlobKey { id, executable: **executable }).unwrap());
            write_blob(farm, version, id, &lacking.copied().collect());
        }
    }
    for _ in 0..20 {
        let before = farm.generations(&repo()).unwrap().into_iter().next();
        let trees = farm.missing_trees(&version.id, before.as_ref().map(|generation| &generation.commit)).unwrap();
        if !trees.is_empty() {
            for missing in trees {
                let (_, canonical) = version.trees.iter().find(|(id, _)| *id == missing.subtree.id).unwrap();
                farm.put_trees(&[(missing.subtree.id, canonical.clone())]).unwrap();
            }
            continue;
        }
        let shared = SharedDirs::new(&SHARED).unwrap();
        let record = before.as_ref().and_then(|before| farm.index().generation(&repo(), &before.commit).unwrap());
        let plan = farm.plan(version.id, &version.commit, &shared, record.as_ref()).unwrap();
        let mut came = false;
        for (id, missing) in farm.missing_blobs(&plan).unwrap() {
            let lacking = missing.executable.iter().copied().filter(|executable| {
                missing.damaged || !farm.copy_variant(BlobKey { id, executable: *executable }).unwrap()
            });
            let lacking: BTreeSet<bool> = lacking.collect();
            came |= !lacking.is_empty();
            write_blob(farm, version, id, &lacking);
        }
        if !came {
            farm.rebuild_replaced(&Progress::default()).unwrap();
            farm.build(&plan, &Progress::default()).unwrap();
            return;
        }
    }
    panic!("what is missing does not come");
}

fn write_blob(farm: &Farm, version: &Version, id: BlobId, executable: &BTreeSet<bool>) {
    if !executable.is_empty() {
        let mut writer = farm.blob_writer().unwrap();
        let (first, second) = version.blobs[&id].split_at(version.blobs[&id].len() / 2);
        writer.write(first).unwrap();
        writer.write(second).unwrap();
        writer.finish(id, executable).unwrap();
    }
}

/// Makes a version live, in the client's order; calls back when the swap is about to be made, when the cache is flushed, and when all is done.
pub(super) fn deploy(farm: &Farm, version: &Version, reached: impl Fn(Step)) {
    let swap = farm.prepare_swap(&repo(), &version.id).unwrap();
    let scope = farm.scope_between(swap.before(), version.id).unwrap();
    farm.owe_flush(&repo(), scope).unwrap();
    reached(Step::Swapping);
    swap.make(&Paused::nothing()).unwrap();
    reached(Step::Flushed);
    farm.confirm(&repo(), version.id).unwrap();
    reached(Step::Confirmed);
    farm.flushed(&repo()).unwrap();
    drop(swap);
    farm.update_state(&repo(), |state| state.head = Some(version.id)).unwrap();
}

/// How far a deploy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// From now on the new code may be live.
    Swapping,
    /// The cache holds nothing old any more.
    Flushed,
    /// The new code is live for good.
    Confirmed,
}
