//! GC between the single steps of commits, readers and tags, in random order: nothing that can be reached is ever lost.
//!
//! `cargo test` runs some hundred steps; `SCENESHIFT_INTERLEAVINGS=10000` runs so many orders, from the one on that `SCENESHIFT_SEED` names.

use std::collections::BTreeMap;

use super::*;
use crate::progress::Progress;
use crate::store::gate::{GcTurn, SweepTurn};
use crate::store::gc::Garbage;

/// How many orders are tried unless the environment says.
const ORDERS: u64 = 60;

/// Steps of one order.
const STEPS: u64 = 60;

const REPOS: [&str; 2] = ["code", "data"];

/// The same numbers every time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A commit under way.
struct Open<'a> {
    guard: CommitGuard<'a>,
    files: BTreeMap<String, Vec<u8>>,
}

/// What may be done between two steps of anything else.
struct Order<'a> {
    store: &'a Fixture,
    random: Random,
    open: BTreeMap<&'static str, Open<'a>>,
    looked: Option<(GcTurn<'a>, Garbage, GcPlan)>,
    snapshots: Vec<(Snapshot<'a>, Vec<CommitId>)>,
    tags: BTreeMap<u64, (&'static str, CommitId)>,
    published: u64,
    sweeps: u64,
    /// Contents are few, so that what one commit leaves another takes up again.
    base: u64,
}

impl<'a> Order<'a> {
    fn new(store: &'a Fixture, seed: u64) -> Self {
        Self {
            store,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            open: BTreeMap::new(),
            looked: None,
            snapshots: Vec::new(),
            tags: BTreeMap::new(),
            published: 0,
            sweeps: 0,
            base: seed % 3,
        }
    }

    fn heads(&self) -> Vec<CommitId> {
        self.store.heads().unwrap().into_iter().map(|(_, id)| id).collect()
    }

    fn step(&mut self) {
        let repo = REPOS[self.random.below(2) as usize];
        match self.random.below(12) {
            0 | 1 if !self.open.contains_key(repo) => {
                let guard = self.store.begin_commit(&repo_name(repo));
                self.open.insert(repo, Open { guard, files: BTreeMap::new() });
            }
            0..=4 => {
                let (path, content) = (self.random.below(4), self.base + self.random.below(5));
                let Some(open) = self.open.get_mut(repo) else { return };
                let content = content.to_le_bytes().to_vec();
                open.guard.write_blob(&mut content.as_slice()).unwrap();
                open.files.insert(format!("d{}/f{path}", path % 2), content);
            }
            5 | 6 => {
                let Some(Open { guard, files }) = self.open.remove(repo) else { return };
                let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
                let root = write_files(&guard, &files);
                self.published += 1;
                let time = self.published as i64;
                guard.publish(&next_commit(self.store, repo, root, time), []).unwrap();
            }
            // Given up: what it wrote is garbage.
            7 => drop(self.open.remove(repo)),
            8 if self.looked.is_none() => {
                let retention = Retention { keep_commits: self.random.below(3), keep_since: i64::MAX };
                let repos = REPOS.into_iter().map(|repo| (repo_name(repo), retention)).collect();
                let plan = GcPlan { repos, ..GcPlan::default() };
                let turn = self.store.gate.collect().expect("nothing else collects");
                let garbage = Garbage::find(self.store, &plan, &Progress::default()).unwrap();
                self.looked = Some((turn, garbage, plan));
            }
            // It would wait for the commits that are under way.
            8 | 9 if self.open.is_empty() => {
                let Some((turn, garbage, plan)) = self.looked.take() else { return };
                let sweeping: SweepTurn<'_> = turn.sweep().expect("nobody holds");
                garbage.sweep(self.store, &plan, &Progress::default(), &sweeping).unwrap();
                drop(sweeping);
                self.sweeps += 1;
                self.check();
            }
            10 => {
                let heads = self.heads();
                self.snapshots.push((self.store.snapshot(), heads));
                if self.snapshots.len() > 3 {
                    let (snapshot, heads) = self.snapshots.remove(0);
                    heads.iter().for_each(|head| assert_whole(&snapshot, head));
                }
            }
            11 => {
                let (slot, name) = (self.random.below(3), repo_name(repo));
                if let Some(head) = self.store.head(&name).unwrap() {
                    if let Some((before, _)) = self.tags.get(&slot) {
                        self.store.remove_tag(&repo_name(before), &tag_name(slot)).unwrap();
                    }
                    self.store.set_tag(&name, &tag_name(slot), &head).unwrap();
                    self.tags.insert(slot, (repo, head));
                }
            }
            _ => {}
        }
    }

    /// What can be reached is whole.
    fn check(&self) {
        self.heads().iter().for_each(|head| assert_whole(&***self.store, head));
        self.tags.values().for_each(|(_, commit)| assert_whole(&***self.store, commit));
        for (snapshot, heads) in &self.snapshots {
            heads.iter().for_each(|head| assert_whole(snapshot, head));
        }
    }
}

fn tag_name(slot: u64) -> crate::values::TagName {
    format!("t{slot}").parse().unwrap()
}

#[test]
fn gc_in_any_order_with_the_steps_of_commits_readers_and_tags_loses_nothing() {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (orders, first) = (number("SCENESHIFT_INTERLEAVINGS", ORDERS), number("SCENESHIFT_SEED", 1));
    // In memory, where there is such a place: each commit is synced.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut store = Fixture { folder, opened: None };
    store.reopen();
    let (mut published, mut sweeps) = (0, 0);
    for seed in first..first + orders {
        let mut order = Order::new(&store, seed);
        (0..STEPS).for_each(|_| order.step());
        order.check();
        published += order.published;
        sweeps += order.sweeps;
        for (slot, (repo, _)) in &order.tags {
            store.remove_tag(&repo_name(repo), &tag_name(*slot)).unwrap();
        }
    }
    println!("{orders} orders of {STEPS} steps: {published} commits, {sweeps} sweeps");
    assert!(published > orders && sweeps > orders / 2, "{published} commits, {sweeps} sweeps");
}
