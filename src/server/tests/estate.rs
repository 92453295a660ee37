//! Commits made straight in a store, for tests of what is sent and shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::encode_tree;
use crate::datadir::{DataDir, Kind};
use crate::store::{CommitGuard, ReadStore, Store};
use crate::values::{Author, Commit, CommitId, Entry, Name, RepoName, Subtree, Target, Tree, TreeId, TreePath};

/// What a commit is to hold: contents by path. A content that begins with `-> ` makes a symbolic link.
pub(in crate::server) type Files = BTreeMap<String, Vec<u8>>;

/// A store in a directory of its own.
pub(in crate::server) struct Estate {
    pub(in crate::server) store: Arc<Store>,
    repo: RepoName,
    _data: DataDir,
    _folder: tempfile::TempDir,
}

/// These files.
pub(in crate::server) fn files(entries: &[(&str, &str)]) -> Files {
    entries.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

impl Estate {
    pub(in crate::server) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data"), Kind::Primary).unwrap();
        let store = Arc::new(Store::open(&data).unwrap());
        Self { store, repo: "puppet-code".parse().unwrap(), _data: data, _folder: folder }
    }

    pub(in crate::server) fn commit(&self, files: &Files) -> (CommitId, Commit) {
        commit(&self.store, &self.repo, files)
    }
}

/// Makes these files the head of a repo.
pub(in crate::server) fn commit(store: &Store, repo: &RepoName, files: &Files) -> (CommitId, Commit) {
    let guard = store.begin_commit(repo);
    let files: Vec<Placed<'_>> =
        files.iter().map(|(path, content)| (path.split('/').collect(), content.as_slice())).collect();
    let root = write(&guard, &files);
    let parent = store.head(repo).unwrap();
    let sequence = parent.map_or(1, |parent| store.commit(&parent).unwrap().unwrap().sequence + 1);
    let commit = Commit {
        repo: repo.clone(),
        environments_dir: TreePath::new(b"environments").unwrap(),
        root,
        parent,
        sequence,
        time: 1_700_000_000_000 + i64::try_from(sequence).unwrap(),
        author: Author::default(),
        message: format!("commit {sequence}"),
    };
    (guard.publish(&commit, []).unwrap(), commit)
}

/// The parts of a path, and a content.
type Placed<'a> = (Vec<&'a str>, &'a [u8]);

fn write(guard: &CommitGuard<'_>, files: &[Placed<'_>]) -> Subtree {
    let mut below: BTreeMap<&str, Vec<Placed<'_>>> = BTreeMap::new();
    let mut entries = Vec::new();
    for (path, content) in files {
        let name = Name::new(path[0].as_bytes()).unwrap();
        match (path.len(), content.strip_prefix(b"-> ")) {
            (1, Some(target)) => entries.push((name, Entry::Symlink(Target::new(target).unwrap()))),
            (1, None) => {
                let written = guard.write_blob(&mut &**content).unwrap();
                entries.push((name, Entry::File { id: written.id, executable: false, size: written.size }));
            }
            _ => below.entry(path[0]).or_default().push((path[1..].to_vec(), content)),
        }
    }
    for (name, files) in below {
        entries.push((Name::new(name.as_bytes()).unwrap(), Entry::Tree(write(guard, &files))));
    }
    let tree = Tree::from_entries(entries).unwrap();
    let bytes = encode_tree(&tree);
    let id = TreeId::of(&bytes);
    guard.write_trees([(id, bytes)]).unwrap();
    Subtree { id, totals: tree.totals() }
}
