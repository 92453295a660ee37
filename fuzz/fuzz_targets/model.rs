//! A primary's store and a client's farm, in any order of commits, fetches, deploys, rollbacks, pruning, GC and starts, while calls to the file
//! system and the databases fail: the head is what was acknowledged, or what was under way; what is live is whole; and after a start on a disk
//! that works again, fsck finds nothing and the head can be brought live.
//!
//! The input is steps of three bytes each.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sceneshift::client::fuzzing::receive;
use sceneshift::datadir::{DataDir, Kind};
use sceneshift::disk::faults::{Fault, Faults};
use sceneshift::farm::{self, Farm, FarmSettings, SharedDirs};
use sceneshift::fsck::{Access, check};
use sceneshift::ingest;
use sceneshift::pause::Paused;
use sceneshift::progress::Progress;
use sceneshift::server::fuzzing::fetch;
use sceneshift::store::{self, GcPlan, ReadStore, Store};
use sceneshift::values::{CommitId, RepoName, TreePath};
use sceneshift::wire::api::CommitRequest;
use sceneshift_fuzz::Folder;

/// The most steps of one run.
const STEPS: usize = 24;

/// What a process sees below a directory that follows every link: files by path, with their content.
type Shown = BTreeMap<PathBuf, Vec<u8>>;

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    for step in input.chunks_exact(3).take(STEPS) {
        world.step(step[0], u64::from(step[1]), step[2]);
        world.check();
    }
    world.end();
});

struct World {
    folder: Folder,
    store: Option<(Store, DataDir)>,
    farm: Option<Farm>,
    faults: Option<Faults>,
    /// What each commit that may have come about shows.
    shows: BTreeMap<CommitId, Shown>,
    /// The head, as it was acknowledged.
    head: Option<CommitId>,
}

fn repo() -> RepoName {
    "puppet-code".parse().expect("a good name")
}

impl World {
    fn new() -> Self {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path().join("staging/environments")).expect("a folder of our own");
        let mut world = Self { folder, store: None, farm: None, faults: None, shows: BTreeMap::new(), head: None };
        world.start();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts whatever does not run. On a disk that fails it may not come up.
    fn start(&mut self) {
        if self.store.is_none()
            && let Ok(data) = DataDir::open(&self.path("primary"), Kind::Primary)
            && let Ok(store) = Store::open(&data)
        {
            self.store = Some((store, data));
        }
        if self.farm.is_none() {
            self.farm = Farm::open(&self.path("client"), FarmSettings::default()).ok();
        }
    }

    fn step(&mut self, kind: u8, number: u64, detail: u8) {
        match kind % 10 {
            0 | 1 => self.stage(number, detail),
            2 | 3 => self.commit(),
            4 => self.bring(self.head),
            5 => {
                let known: Vec<CommitId> = self.shows.keys().copied().collect();
                if !known.is_empty() {
                    self.bring(Some(known[usize::from(detail) % known.len()]));
                }
            }
            6 => self.prune(detail),
            7 => self.gc(detail),
            8 => {
                (self.store, self.farm) = (None, None);
                self.start();
            }
            _ => {
                // The old ones first: two would both count.
                self.faults = None;
                if detail % 3 > 0 {
                    let fault = if detail % 3 == 1 { Fault::Once(number) } else { Fault::From(number) };
                    let errno = if detail & 64 == 0 { nix::errno::Errno::EIO } else { nix::errno::Errno::ENOSPC };
                    self.faults = Some(Faults::at(self.folder.path(), fault, errno));
                }
            }
        }
        self.start();
    }

    fn stage(&self, number: u64, detail: u8) {
        let dir = self.path(&format!("staging/environments/e{}/modules/m{}", number % 2, number / 2 % 2));
        std::fs::create_dir_all(&dir).expect("staging is ours");
        let file = dir.join(format!("f{}", detail % 3));
        let link = self.path("staging/environments/linked");
        match detail / 3 % 6 {
            0 => drop(std::fs::remove_file(file)),
            1 => drop(std::fs::remove_dir_all(&dir)),
            2 => drop(std::os::unix::fs::symlink(format!("e{}", number % 2), link)),
            3 => drop(std::fs::remove_file(link)),
            content => std::fs::write(file, format!("content {content} {}", number / 4 % 4)).expect("staging is ours"),
        }
    }

    fn commit(&mut self) {
        let Some((store, _)) = &self.store else { return };
        let repo = ingest::Repo {
            name: repo(),
            staging_dir: self.path("staging"),
            environments_dir: TreePath::new(b"environments").expect("a good path"),
            ignore: Vec::new(),
            skip_special: false,
        };
        let request = CommitRequest { allow_empty: true, ..CommitRequest::default() };
        let outcome = ingest::commit(store, &repo, &request, &Progress::default());
        let shown = shown(&self.path("staging"));
        let head = store.head(&repo.name).expect("reads do not fail");
        match outcome {
            Ok(answer) => {
                assert_eq!(head, Some(answer.commit), "an acknowledged commit is the head");
                self.shows.insert(answer.commit, shown);
            }
            Err(error) if self.faults.as_ref().is_some_and(|faults| faults.failed() > 0) => {
                // It may have come about all the same.
                if let Some(head) = head.filter(|head| Some(*head) != self.head) {
                    assert!(self.shows.insert(head, shown).is_none(), "{error}");
                }
            }
            Err(error) => panic!("{error}"),
        }
        self.head = head;
    }

    /// Fetches, builds, swaps. Fails only where calls do.
    fn bring(&mut self, commit: Option<CommitId>) {
        let (Some(commit), Some((store, _)), Some(farm)) = (commit, &self.store, &self.farm) else { return };
        let before = self.live();
        match try_bring(store, farm, commit) {
            Ok(false) => {}
            Ok(true) => assert_eq!(self.live(), Some(commit)),
            Err(error) => {
                assert!(self.faults.as_ref().is_some_and(|faults| faults.failed() > 0), "{error}");
                let now = self.live();
                assert!(now == before || now == Some(commit), "{error}");
            }
        }
    }

    fn prune(&self, detail: u8) {
        let Some(farm) = &self.farm else { return };
        let retention = farm::Retention { keep: 1 + usize::from(detail % 3), age: Duration::ZERO };
        let outcome = farm.prune(&BTreeMap::from([(repo(), retention)]), &Progress::default());
        assert!(outcome.is_ok() || self.faults.is_some(), "{outcome:?}");
    }

    fn gc(&self, detail: u8) {
        let Some((store, _)) = &self.store else { return };
        let retention = store::Retention { keep_commits: u64::from(detail % 3), keep_since: i64::MAX };
        let plan = GcPlan { repos: BTreeMap::from([(repo(), retention)]), pinned: BTreeSet::new() };
        let outcome = store.gc(&plan, &Progress::default());
        assert!(outcome.is_ok() || self.faults.is_some(), "{outcome:?}");
    }

    fn current(&self) -> PathBuf {
        self.path("client/repos/puppet-code/current")
    }

    /// What is live, as everybody sees it: the farm itself may be unable to tell while calls fail.
    fn live(&self) -> Option<CommitId> {
        let target = std::fs::read_link(self.current()).ok()?;
        Some(farm::parse_current(target.as_os_str().as_encoded_bytes()).expect("current names a generation"))
    }

    fn check(&self) {
        if let Some(live) = self.live() {
            assert_eq!(shown(&self.current()), self.shows[&live], "what is live is not whole");
        }
        if let Some((store, _)) = &self.store {
            assert_eq!(store.head(&repo()).expect("reads do not fail"), self.head, "an acknowledged head is lost");
        }
    }

    /// The disk works again: everything starts, is clean, and the head can be brought live.
    fn end(mut self) {
        (self.faults, self.store, self.farm) = (None, None, None);
        self.start();
        assert!(self.store.is_some() && self.farm.is_some(), "a daemon does not start");
        self.check();
        self.commit();
        self.bring(self.head);
        if let (Some(farm), Some(head)) = (&self.farm, self.head) {
            assert_eq!(farm.current(&repo()).expect("it can be read"), Some(head), "the head is not live");
        }
        self.check();
        (self.store, self.farm) = (None, None);
        for side in ["primary", "client"] {
            let report = check(&self.path(side), &Access::Locked, &Progress::default()).expect("it can be checked");
            assert!(report.findings.is_empty(), "{side}: {:?}", report.findings);
        }
    }
}

/// Whether the commit could be brought live: GC may have taken it.
fn try_bring(store: &Store, farm: &Farm, commit: CommitId) -> Result<bool, Box<dyn std::error::Error>> {
    let shared = SharedDirs::new(&["environments/*", "environments/*/*modules/*"])?;
    if !farm.has_generation(&repo(), &commit)? {
        let mut have: Vec<CommitId> = farm.generations(&repo())?.iter().map(|generation| generation.commit).collect();
        let plan = loop {
            let Some(stream) = fetch(store, &commit, &have)? else { return Ok(false) };
            receive(farm, &stream, commit)?;
            let read = farm.index().commit(&commit)?.ok_or("the commit did not come")?;
            if farm.missing_trees(&commit, None)?.is_empty() {
                let plan = farm.plan(commit, &read, &shared, None)?;
                if farm.missing_blobs(&plan)?.is_empty() {
                    break plan;
                }
            }
            // What it was thought to have, it has not.
            assert!(!have.is_empty(), "a whole stream is not whole");
            have.clear();
        };
        farm.settle()?;
        farm.rebuild_replaced(&Progress::default())?;
        farm.build(&plan, &Progress::default())?;
    }
    let swap = farm.prepare_swap(&repo(), &commit)?;
    swap.make(&Paused::nothing())?;
    farm.confirm(&repo(), commit)?;
    Ok(true)
}

fn shown(root: &Path) -> Shown {
    let mut all = Shown::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(at) = ahead.pop() {
        let path = root.join(&at);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let names =
                    std::fs::read_dir(&path).expect("it is there").map(|entry| entry.expect("it is there").file_name());
                ahead.extend(names.map(|name| at.join(name)));
            }
            Ok(_) => drop(all.insert(at, std::fs::read(&path).expect("it is there"))),
            Err(_) => drop(all.insert(at, b"leads nowhere".to_vec())),
        }
    }
    all
}
