//! Cuts in a primary's runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Lab, findings, sweep};
use crate::datadir::{DataDir, Kind};
use crate::disk::crash::reached;
use crate::ingest::{self, Repo};
use crate::progress::Progress;
use crate::store::{GcPlan, ReadStore, Retention, Store};
use crate::values::{Entry, TreeId, TreePath};
use crate::wire::api::{CommitRequest, RollbackRequest};

type Files = BTreeMap<String, String>;

/// A primary with one repo.
struct Site {
    lab: Lab,
    repo: Repo,
}

fn files(pairs: &[(&str, &str)]) -> Files {
    pairs.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect()
}

fn one() -> Files {
    files(&[("environments/p/a", "1"), ("environments/p/b", "same"), ("environments/q/m/x", "1")])
}

fn two() -> Files {
    files(&[("environments/p/a", "2"), ("environments/p/b", "same"), ("environments/r/y", "3")])
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new();
        let staging_dir = lab.folder.path().join("staging");
        fs::create_dir(&staging_dir).unwrap();
        let repo = Repo {
            name: "puppet-code".parse().unwrap(),
            staging_dir,
            environments_dir: TreePath::new(b"environments").unwrap(),
            ignore: Vec::new(),
            skip_special: false,
        };
        Self { lab, repo }
    }

    fn stage(&self, files: &Files) {
        let staging = &self.repo.staging_dir;
        fs::remove_dir_all(staging).unwrap();
        fs::create_dir(staging).unwrap();
        for (path, content) in files {
            let path = staging.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    fn open(&self, data: &Path) -> (Store, DataDir) {
        let data = DataDir::open(data, Kind::Primary).unwrap();
        (Store::open(&data).unwrap(), data)
    }

    fn commit(&self, store: &Store) {
        ingest::commit(store, &self.repo, &CommitRequest::default(), &Progress::default()).unwrap();
    }

    /// Everything in the head.
    fn shown(&self, store: &Store) -> Option<Files> {
        let head = store.head(&self.repo.name).unwrap()?;
        let commit = store.commit(&head).unwrap().expect("the head is there");
        let mut shown = Files::new();
        show(store, commit.root.id, &TreePath::root(), &mut shown);
        Some(shown)
    }

    /// Checks a state that a cut left: the head shows one of `allowed`, nothing is to be found, and staging, which holds `goal`, can be committed.
    fn check(&self, allowed: &[Option<Files>], goal: &Files) {
        let data = self.lab.data();
        let (store, dir) = self.open(&data);
        let shown = self.shown(&store);
        assert!(allowed.contains(&shown), "the head shows {shown:?}");
        drop((store, dir));
        assert_eq!(findings(&data), [], "after a start");
        let (store, dir) = self.open(&data);
        self.commit(&store);
        assert_eq!(self.shown(&store).as_ref(), Some(goal), "the next commit");
        drop((store, dir));
        assert_eq!(findings(&data), [], "after the next commit");
    }
}

fn show(store: &Store, tree: TreeId, at: &TreePath, shown: &mut Files) {
    for (name, entry) in store.tree(&tree).unwrap().expect("every tree is there").entries() {
        let at = at.join(name);
        match entry {
            Entry::Tree(subtree) => show(store, subtree.id, &at, shown),
            Entry::File { id, size, .. } => {
                let mut content = Vec::new();
                assert_eq!(store.copy_blob(id, &mut content).unwrap(), Some(*size), "every blob is there");
                shown.insert(at.to_string(), String::from_utf8(content).unwrap());
            }
            Entry::Symlink(_) => {}
        }
    }
}

const DONE: usize = 1;

#[test]
fn a_cut_in_the_first_commit_leaves_none_or_all_of_it_and_an_answered_one_stays() {
    let site = Site::new();
    site.stage(&one());
    let recording = site.lab.record(|data| {
        let (store, _dir) = site.open(data);
        site.commit(&store);
        reached(data, DONE);
    });
    sweep("first commit", &recording, |stage| match stage {
        DONE => site.check(&[Some(one())], &one()),
        _ => site.check(&[None, Some(one())], &one()),
    });
}

#[test]
fn a_cut_in_a_commit_leaves_the_old_head_or_the_new() {
    let site = Site::new();
    site.stage(&one());
    site.commit(&site.open(&site.lab.data()).0);
    site.stage(&two());
    let recording = site.lab.record(|data| {
        let (store, _dir) = site.open(data);
        site.commit(&store);
        reached(data, DONE);
    });
    sweep("commit", &recording, |stage| match stage {
        DONE => site.check(&[Some(two())], &two()),
        _ => site.check(&[Some(one()), Some(two())], &two()),
    });
}

/// Staging and the stat cache hold the first content, which is the third commit, and the head is the second again.
fn rolled_back(site: &Site, store: &Store) {
    site.stage(&one());
    site.commit(store);
    site.stage(&two());
    site.commit(store);
    let second = store.head(&site.repo.name).unwrap().unwrap();
    site.stage(&one());
    site.commit(store);
    reached(&site.lab.data(), DONE);
    let request = RollbackRequest { commit: second, message: None, author: None };
    ingest::rollback(store, &site.repo.name, &request).unwrap();
    reached(&site.lab.data(), DONE + 1);
}

#[test]
fn a_cut_in_commits_and_a_rollback_leaves_what_was_answered_last_or_what_comes_next() {
    let site = Site::new();
    let recording = site.lab.record(|data| {
        let (store, _dir) = site.open(data);
        rolled_back(&site, &store);
    });
    sweep("rollback of the primary", &recording, |stage| match stage {
        0 => site.check(&[None, Some(one()), Some(two())], &one()),
        DONE => site.check(&[Some(one()), Some(two())], &one()),
        _ => site.check(&[Some(two())], &one()),
    });
}

#[test]
fn a_cut_in_gc_leaves_the_head_whole_and_no_cache_that_promises_what_is_gone() {
    let site = Site::new();
    rolled_back(&site, &site.open(&site.lab.data()).0);
    let recording = site.lab.record(|data| {
        let (store, _dir) = site.open(data);
        let retention = Retention { keep_commits: 1, keep_since: i64::MAX };
        let plan = GcPlan { repos: [(site.repo.name.clone(), retention)].into(), ..GcPlan::default() };
        let report = store.gc(&plan, &Progress::default()).unwrap();
        assert_eq!(report.commits, 3, "{report:?}");
    });
    sweep("gc", &recording, |_| site.check(&[Some(two())], &one()));
}
