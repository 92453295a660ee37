//! Help for tests: a farm that is filled from real directories, without a primary.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{BlobKey, Farm, FarmSettings, Generation, Plan, SharedDirs};
use crate::codec;
use crate::pause::Paused;
use crate::progress::Progress;
use crate::values::{Author, BlobId, Commit, CommitId, Entry, Name, RepoName, Subtree, Target, Tree, TreeId, TreePath};

/// What `shared-dirs` is by default.
pub(crate) const SHARED: [&str; 3] = ["environments/*", "environments/*/*modules/*", "modules/*"];

/// A client's data directory, with a staging directory beside it that tests write to.
pub(crate) struct TestFarm {
    folder: tempfile::TempDir,
    farm: Option<Farm>,
    shared: SharedDirs,
    /// The newest commit of each repo, with its sequence number.
    heads: RefCell<HashMap<RepoName, (CommitId, u64)>>,
    /// Every content that was committed.
    contents: RefCell<HashMap<BlobId, Vec<u8>>>,
}

impl TestFarm {
    /// An empty one with the default `shared-dirs`.
    pub(crate) fn new() -> Self {
        Self::shared_by(&SHARED)
    }

    /// An empty one with these `shared-dirs`.
    pub(crate) fn shared_by(patterns: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("staging")).unwrap();
        let shared = SharedDirs::new(patterns).unwrap();
        let mut this = Self { folder, farm: None, shared, heads: RefCell::default(), contents: RefCell::default() };
        this.reopen();
        this
    }

    /// The repo that is committed to unless a test says otherwise.
    pub(crate) fn repo() -> RepoName {
        "puppet-code".parse().unwrap()
    }

    /// The farm, which must be open.
    pub(crate) fn farm(&self) -> &Farm {
        self.farm.as_ref().expect("the farm is open")
    }

    /// Closes the farm, so that others can lock its data directory.
    pub(crate) fn close(&mut self) {
        self.farm = None;
    }

    /// Closes the farm and opens it again, as a start of the daemon does.
    pub(crate) fn reopen(&mut self) {
        self.farm = None;
        self.farm = Some(Farm::open(&self.data_dir(), FarmSettings::default()).unwrap());
    }

    /// A folder that is the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The client's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The directory that [`TestFarm::deploy`] commits.
    pub(crate) fn staging(&self) -> PathBuf {
        self.folder.path().join("staging")
    }

    /// What Puppet is told to read.
    pub(crate) fn current(&self) -> PathBuf {
        self.data_dir().join("repos").join(Self::repo().as_str()).join("current")
    }

    /// Writes a file of staging, and the directories above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.staging().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The same, for a file that may be executed.
    pub(crate) fn write_executable(&self, path: &str, content: impl AsRef<[u8]>) {
        self.write(path, content);
        fs::set_permissions(self.staging().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Makes a symbolic link in staging, and the directories above it.
    pub(crate) fn symlink(&self, path: &str, target: &str) {
        let path = self.staging().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// Makes an empty directory in staging.
    pub(crate) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.staging().join(path)).unwrap();
    }

    /// Commits staging, builds the commit, and makes it current.
    pub(crate) fn deploy(&self) -> CommitId {
        let commit = self.commit(&Self::repo(), &self.staging());
        self.build(&Self::repo(), commit);
        self.farm().prepare_swap(&Self::repo(), &commit).unwrap().make(&Paused::nothing()).unwrap();
        self.farm().confirm(&Self::repo(), commit).unwrap();
        commit
    }

    /// Puts the trees of the directory `source`, and a commit of them, in the farm. Blobs stay out.
    pub(crate) fn commit(&self, repo: &RepoName, source: &Path) -> CommitId {
        self.commit_root(repo, self.put_directory(source))
    }

    /// Puts a commit of the tree `root`, which is in the farm, there.
    pub(crate) fn commit_root(&self, repo: &RepoName, root: Subtree) -> CommitId {
        let head = self.heads.borrow().get(repo).copied();
        let sequence = head.map_or(1, |(_, sequence)| sequence + 1);
        let commit = Commit {
            repo: repo.clone(),
            environments_dir: TreePath::new(b"environments").unwrap(),
            root,
            parent: head.map(|(id, _)| id),
            sequence,
            time: 1_700_000_000_000,
            author: Author::default(),
            message: String::new(),
        };
        let id = self.farm().put_commit(&commit).unwrap();
        self.heads.borrow_mut().insert(repo.clone(), (id, sequence));
        id
    }

    /// What building `commit` takes.
    pub(crate) fn plan(&self, repo: &RepoName, commit: CommitId) -> Plan {
        let read = self.farm().index().commit(&commit).unwrap().unwrap();
        let before = self.farm().generations(repo).unwrap();
        let record = |generation: &Generation| self.farm().index().generation(repo, &generation.commit).unwrap();
        let before = before.first().and_then(record);
        self.farm().plan(commit, &read, &self.shared, before.as_ref()).unwrap()
    }

    /// Writes the blobs that `commit` needs, and builds it.
    pub(crate) fn build(&self, repo: &RepoName, commit: CommitId) {
        let plan = self.plan(repo, commit);
        self.write_missing_blobs(&plan);
        self.farm().settle().unwrap();
        self.farm().build(&plan, &Progress::default()).unwrap();
    }

    /// Writes the blobs that `plan` needs and that are not here.
    pub(crate) fn write_missing_blobs(&self, plan: &Plan) {
        for (id, missing) in self.farm().missing_blobs(plan).unwrap() {
            let mut writer = self.farm().blob_writer().unwrap();
            writer.write(&self.content(&id)).unwrap();
            writer.finish(id, &missing.executable).unwrap();
        }
    }

    /// The content of a blob that was committed: what a primary would send.
    pub(crate) fn content(&self, id: &BlobId) -> Vec<u8> {
        self.contents.borrow()[id].clone()
    }

    /// Gives a blob file a fresh inode, as where it has as many links as the file system allows.
    pub(crate) fn renew(&self, key: BlobKey) {
        self.farm().copy_blob(key, key).unwrap();
        self.farm().settle().unwrap();
    }

    /// A record of the closed farm's index.
    pub(crate) fn raw(&self, family: &str, key: &[u8]) -> Vec<u8> {
        let db = self.index();
        let value = db.get_cf(db.cf_handle(family).unwrap(), key).unwrap();
        value.expect("the record is there")
    }

    /// Writes a record of the closed farm's index, or removes it.
    pub(crate) fn set_raw(&self, family: &str, key: &[u8], value: Option<&[u8]>) {
        let db = self.index();
        let handle = db.cf_handle(family).unwrap();
        match value {
            Some(value) => db.put_cf(handle, key, value).unwrap(),
            None => db.delete_cf(handle, key).unwrap(),
        }
    }

    /// Writes the records of a family of the closed farm's index to a file, so that a test can damage it there.
    pub(crate) fn flush(&self, family: &str) {
        let db = self.index();
        db.flush_cf(db.cf_handle(family).unwrap()).unwrap();
    }

    fn index(&self) -> rocksdb::DB {
        assert!(self.farm.is_none(), "the farm is closed first");
        let (path, options) = (self.data_dir().join("index"), rocksdb::Options::default());
        let families = rocksdb::DB::list_cf(&options, &path).unwrap();
        rocksdb::DB::open_cf(&options, path, families).unwrap()
    }

    fn put_directory(&self, dir: &Path) -> Subtree {
        let entries = fs::read_dir(dir).unwrap().map(|entry| {
            let entry = entry.unwrap();
            (Name::new(entry.file_name().as_bytes()).unwrap(), self.put_entry(&entry.path()))
        });
        let tree = Tree::from_entries(entries.collect()).unwrap();
        let canonical = codec::encode_tree(&tree);
        let id = TreeId::of(&canonical);
        self.farm().put_trees(&[(id, canonical)]).unwrap();
        Subtree { id, totals: tree.totals() }
    }

    fn put_entry(&self, path: &Path) -> Entry {
        let metadata = fs::symlink_metadata(path).unwrap();
        if metadata.is_dir() {
            return Entry::Tree(self.put_directory(path));
        }
        if metadata.is_symlink() {
            let target = fs::read_link(path).unwrap();
            return Entry::Symlink(Target::new(target.as_os_str().as_bytes()).unwrap());
        }
        let content = fs::read(path).unwrap();
        let id = BlobId::of(&content);
        let entry =
            Entry::File { id, executable: metadata.permissions().mode() & 0o100 != 0, size: content.len() as u64 };
        self.contents.borrow_mut().insert(id, content);
        entry
    }
}

impl Farm {
    /// Gives the blob file of this content a fresh inode, as where it has as many links as the file system allows. Not settled.
    pub(crate) fn renew_for_tests(&self, content: &[u8]) {
        let key = BlobKey { id: BlobId::of(content), executable: false };
        self.copy_blob(key, key).unwrap();
    }
}

/// What a path leads to, for a process that follows links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A directory with these names in it, sorted.
    Dir(Vec<OsString>),
    /// A file with this content, executable or not.
    File(Vec<u8>, bool),
    /// A dangling link, or a circle.
    Nowhere,
}

impl Seen {
    /// What `path` leads to.
    pub(crate) fn at(path: &Path) -> Self {
        match fs::metadata(path) {
            Err(_) => Seen::Nowhere,
            Ok(metadata) if metadata.is_dir() => {
                let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                names.sort();
                Seen::Dir(names)
            }
            Ok(metadata) => Seen::File(fs::read(path).unwrap(), metadata.permissions().mode() & 0o100 != 0),
        }
    }
}

/// Everything that a process sees which walks `root` and follows every link, eight levels deep.
pub(crate) fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    seen_to(8, root, &|_| true)
}

/// The same, so many levels deep, and only what `wanted` says of its path from `root`.
pub(crate) fn seen_to(levels: usize, root: &Path, wanted: &dyn Fn(&Path) -> bool) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut ahead = vec![(levels, PathBuf::new())];
    while let Some((levels, at)) = ahead.pop() {
        if !wanted(&at) {
            continue;
        }
        let found = Seen::at(&root.join(&at));
        if let (Seen::Dir(names), true) = (&found, levels > 0) {
            ahead.extend(names.iter().map(|name| (levels - 1, at.join(name))));
        }
        all.insert(at, found);
    }
    all
}
