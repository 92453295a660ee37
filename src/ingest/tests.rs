//! Commits of real directories into a real store.

mod cache;
mod clocks;
mod content;
mod environments;
mod estate;
mod heal;
mod history;
mod refused;
mod torn;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::clock::FileSystemClock;
use super::*;
use crate::datadir::{DataDir, Kind};
use crate::disk::{Dir, Stat};
use crate::store::{ReadStore, StatRecord};
use crate::values::{CommitId, Entry, TreeId};

/// A primary with one repo.
struct Site {
    folder: tempfile::TempDir,
    _data: DataDir,
    store: Store,
    repo: Repo,
}

fn site() -> Site {
    site_in(tempfile::tempdir().unwrap())
}

fn site_in(folder: tempfile::TempDir) -> Site {
    let data = DataDir::open(&folder.path().join("data"), Kind::Primary).unwrap();
    let store = Store::open(&data).unwrap();
    let staging_dir = folder.path().join("staging");
    fs::create_dir(&staging_dir).unwrap();
    let repo = Repo {
        name: "puppet-code".parse().unwrap(),
        staging_dir,
        environments_dir: path("environments"),
        ignore: Vec::new(),
        skip_special: false,
    };
    Site { folder, _data: data, store, repo }
}

fn path(text: &str) -> TreePath {
    TreePath::new(text.as_bytes()).unwrap()
}

impl Site {
    fn at(&self, path: &str) -> PathBuf {
        self.repo.staging_dir.join(path)
    }

    /// Writes a file in staging, with the directories that it needs.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        let link = self.at(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }

    fn request(&self, request: &CommitRequest) -> Result<CommitAnswer, IngestError> {
        commit(&self.store, &self.repo, request, &Progress::default())
    }

    fn try_commit(&self) -> Result<CommitAnswer, IngestError> {
        self.request(&CommitRequest::default())
    }

    fn commit(&self) -> CommitAnswer {
        self.try_commit().unwrap()
    }

    fn commit_by(&self, clock: &dyn Clock) -> Result<CommitAnswer, IngestError> {
        commit_by(clock, &self.store, &self.repo, &CommitRequest::default(), &Progress::default())
    }

    fn commit_environments(&self, names: &[&str]) -> Result<CommitAnswer, IngestError> {
        self.request(&environments(names))
    }

    fn head(&self) -> Option<CommitId> {
        self.store.head(&self.repo.name).unwrap()
    }

    /// Everything in the head: a file's content, `-> target` of a link, `/` for an empty directory; `*` marks the executable.
    fn shown(&self) -> BTreeMap<String, String> {
        let head = self.store.commit(&self.head().unwrap()).unwrap().unwrap();
        let mut shown = BTreeMap::new();
        self.show(&head.root.id, &TreePath::root(), &mut shown);
        shown
    }

    fn show(&self, tree: &TreeId, at: &TreePath, shown: &mut BTreeMap<String, String>) {
        let tree = self.store.tree(tree).unwrap().unwrap();
        if tree.is_empty() {
            shown.insert(at.to_string(), "/".into());
        }
        for (name, entry) in tree.entries() {
            let at = at.join(name);
            match entry {
                Entry::Tree(subtree) => self.show(&subtree.id, &at, shown),
                Entry::Symlink(target) => drop(shown.insert(at.to_string(), format!("-> {target}"))),
                Entry::File { id, executable, size } => {
                    let mut content = Vec::new();
                    assert_eq!(self.store.copy_blob(id, &mut content).unwrap(), Some(*size));
                    let mark = if *executable { "*" } else { "" };
                    shown.insert(at.to_string(), format!("{mark}{}", String::from_utf8_lossy(&content)));
                }
            }
        }
    }

    fn content(&self, path: &str) -> Option<String> {
        self.shown().remove(path)
    }

    fn record(&self, dir: &str) -> Option<StatRecord> {
        self.store.stat_record(&self.repo.name, &path(dir)).unwrap()
    }
}

fn environments(names: &[&str]) -> CommitRequest {
    CommitRequest { environments: names.iter().map(ToString::to_string).collect(), ..CommitRequest::default() }
}

/// Makes files old enough for the cache without waiting: staging's clock stands an hour later.
struct LaterClock;

impl Clock for LaterClock {
    fn now(&self, staging: &Dir) -> i64 {
        FileSystemClock.now(staging) + 3_600_000_000_000
    }
    fn wait(&self, _: Duration) {}
}

/// The real clock; calls back at each look at an entry, with how many there were before.
struct Watched<F: FnMut(usize, &Stat)>(Mutex<(usize, F)>);

impl<F: FnMut(usize, &Stat) + Send> Watched<F> {
    fn new(call: F) -> Self {
        Self(Mutex::new((0, call)))
    }

    fn looks(&self) -> usize {
        self.0.lock().unwrap().0
    }
}

impl<F: FnMut(usize, &Stat) + Send> Clock for Watched<F> {
    fn now(&self, staging: &Dir) -> i64 {
        LaterClock.now(staging)
    }
    fn seen(&self, stat: Stat) -> Stat {
        let (count, call) = &mut *self.0.lock().unwrap();
        call(*count, &stat);
        *count += 1;
        stat
    }
    fn wait(&self, _: Duration) {}
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::symlink_metadata(path).unwrap())
}
