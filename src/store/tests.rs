//! What a user would lose: tests of the store through its public face. What needs a damaged record writes it to RocksDB itself.

mod diffs;
mod gc;
mod interleaved;
mod large;
mod model;
mod objects;
mod records;
mod salvaged;

use super::*;
use crate::codec;
use crate::datadir::{DataDir, Kind};
use crate::values::{Author, BlobId, Commit, CommitId, Entry, Name, RepoName, Subtree, Totals, Tree, TreeId, TreePath};

/// A store in a data directory of its own.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    opened: Option<(Arc<Store>, DataDir)>,
}

impl std::ops::Deref for Fixture {
    type Target = Arc<Store>;

    fn deref(&self) -> &Arc<Store> {
        &self.opened.as_ref().unwrap().0
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut fixture = Self { folder: tempfile::tempdir().unwrap(), opened: None };
        fixture.reopen();
        fixture
    }

    /// Closes the store, whatever was not synced being in its log, and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.opened = None;
        let data = DataDir::open(&self.folder.path().join("data"), Kind::Primary).unwrap();
        self.opened = Some((Arc::new(Store::open(&data).unwrap()), data));
    }

    /// Closes the store, so that others can lock its data directory, which is answered.
    pub(crate) fn close(&mut self) -> std::path::PathBuf {
        self.opened = None;
        self.folder.path().join("data")
    }

    /// Writes what is in memory to a file, so that a test can damage it there.
    pub(crate) fn flush(&self, family: Family) {
        self.db.flush_cf(family.handle(&self.db)).unwrap();
    }

    pub(crate) fn put_raw(&self, family: Family, key: &[u8], value: &[u8]) {
        self.db.put_cf(family.handle(&self.db), key, value).unwrap();
    }

    pub(crate) fn remove_raw(&self, family: Family, key: &[u8]) {
        self.db.delete_cf(family.handle(&self.db), key).unwrap();
    }

    /// Commits a tree of these files.
    pub(crate) fn commit_files(&self, repo: &str, files: &[(&str, &[u8])]) -> (CommitId, Commit) {
        self.commit_files_at(repo, 0, files)
    }

    fn commit_files_at(&self, repo: &str, time: i64, files: &[(&str, &[u8])]) -> (CommitId, Commit) {
        let guard = self.begin_commit(&repo_name(repo));
        let root = write_files(&guard, files);
        let commit = next_commit(self, repo, root, time);
        (guard.publish(&commit, []).unwrap(), commit)
    }
}

pub(crate) fn repo_name(text: &str) -> RepoName {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

pub(crate) fn file(content: &[u8]) -> Entry {
    Entry::File { id: BlobId::of(content), executable: false, size: content.len() as u64 }
}

/// Writes files, given by their paths, and the trees above them; answers the root.
pub(crate) fn write_files(guard: &CommitGuard<'_>, files: &[(&str, &[u8])]) -> Subtree {
    let mut entries = Vec::new();
    let mut dirs = std::collections::BTreeMap::<&str, Vec<(&str, &[u8])>>::new();
    for (path, content) in files {
        match path.split_once('/') {
            Some((dir, rest)) => dirs.entry(dir).or_default().push((rest, content)),
            None => {
                guard.write_blob(&mut &**content).unwrap();
                entries.push((name(path), file(content)));
            }
        }
    }
    for (dir, files) in dirs {
        entries.push((name(dir), Entry::Tree(write_files(guard, &files))));
    }
    write_tree(guard, entries)
}

pub(crate) fn write_tree(guard: &CommitGuard<'_>, entries: Vec<(Name, Entry)>) -> Subtree {
    let tree = Tree::from_entries(entries).unwrap();
    let canonical = codec::encode_tree(&tree);
    let id = TreeId::of(&canonical);
    guard.write_trees([(id, canonical)]).unwrap();
    Subtree { id, totals: tree.totals() }
}

/// The commit of `root` that follows the head of `repo`.
pub(crate) fn next_commit(store: &Store, repo: &str, root: Subtree, time: i64) -> Commit {
    let repo = repo_name(repo);
    let parent = store.head(&repo).unwrap();
    let sequence = parent.map_or(1, |id| store.commit(&id).unwrap().unwrap().sequence + 1);
    let environments_dir = TreePath::root();
    let author = Author::default();
    Commit { repo, environments_dir, root, parent, sequence, time, author, message: String::new() }
}

/// Bytes that look like nothing, always the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| next().to_le_bytes()).take(length / 8 + 1).flatten().collect();
    bytes.truncate(length);
    bytes
}

fn read_blob(store: &impl ReadStore, id: &BlobId) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let size = store.copy_blob(id, &mut content).unwrap()?;
    assert_eq!(size, content.len() as u64);
    Some(content)
}

/// Reads everything that a commit names; panics where something is missing or differs from what its id says.
fn assert_whole(store: &impl ReadStore, commit: &CommitId) {
    fn tree_is_whole(store: &impl ReadStore, subtree: &Subtree) {
        let tree = store.tree(&subtree.id).unwrap().expect("a tree is missing");
        assert_eq!(TreeId::of(&codec::encode_tree(&tree)), subtree.id);
        for (_, entry) in tree.entries() {
            match entry {
                Entry::Tree(subtree) => tree_is_whole(store, subtree),
                Entry::File { id, .. } => {
                    let content = read_blob(store, id).expect("a blob is missing");
                    assert_eq!(BlobId::of(&content), *id);
                }
                Entry::Symlink(_) => {}
            }
        }
    }
    let commit = store.commit(commit).unwrap().expect("the commit is missing");
    tree_is_whole(store, &commit.root);
}
