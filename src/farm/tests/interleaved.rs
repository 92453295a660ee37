//! Deploys, rollbacks, fetches and builds that went no further, pruning and starts in random order: what is live stays whole, and so does
//! every generation that is kept.
//!
//! `SCENESHIFT_INTERLEAVINGS=10000` tries so many orders, from the one on that `SCENESHIFT_SEED` names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::farm::Retention;
use crate::farm::testing::{Seen, TestFarm, seen};
use crate::pause::Paused;
use crate::progress::Progress;
use crate::values::CommitId;

/// How many orders are tried unless the environment says.
const ORDERS: u64 = 8;

/// Steps of one order.
const STEPS: u64 = 30;

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

/// A farm, and what each commit should show.
struct Order {
    farm: TestFarm,
    shows: BTreeMap<CommitId, BTreeMap<PathBuf, Seen>>,
    random: Random,
    pruned: u64,
}

impl Order {
    fn commit(&mut self) -> CommitId {
        // Few contents and places: what one generation leaves, another takes up again.
        for _ in 0..=self.random.below(3) {
            let (environment, module, content) = (self.random.below(3), self.random.below(2), self.random.below(4));
            let path = format!("environments/e{environment}/modules/m{module}/init.pp");
            self.farm.write(&path, format!("content {content}"));
        }
        let commit = self.farm.commit(&TestFarm::repo(), &self.farm.staging());
        self.shows.insert(commit, seen(&self.farm.staging()));
        commit
    }

    fn make_current(&self, commit: CommitId) {
        let (farm, repo) = (self.farm.farm(), TestFarm::repo());
        farm.prepare_swap(&repo, &commit).unwrap().make(&Paused::nothing()).unwrap();
        farm.confirm(&repo, commit).unwrap();
    }

    fn step(&mut self) {
        let repo = TestFarm::repo();
        match self.random.below(12) {
            0..=3 => {
                let commit = self.commit();
                self.farm.build(&repo, commit);
                self.make_current(commit);
            }
            4 => {
                let commit = self.commit();
                self.farm.write_missing_blobs(&self.farm.plan(&repo, commit));
                if self.random.below(2) == 0 {
                    self.farm.farm().settle().unwrap();
                }
            }
            5 => {
                let commit = self.commit();
                self.farm.build(&repo, commit);
            }
            6 | 7 => {
                let kept = self.farm.farm().generations(&repo).unwrap();
                if !kept.is_empty() {
                    let at = self.random.below(kept.len() as u64) as usize;
                    self.make_current(kept[at].commit);
                }
            }
            8 => {
                let pinned = self.farm.farm().current(&repo).unwrap().filter(|_| self.random.below(2) == 0);
                self.farm.farm().update_state(&repo, |state| state.pinned = pinned).unwrap();
            }
            9 | 10 => {
                let retention = Retention { keep: 1 + self.random.below(3) as usize, age: Duration::ZERO };
                let retentions = BTreeMap::from([(repo, retention)]);
                self.pruned += self.farm.farm().prune(&retentions, &Progress::default()).unwrap().generations;
            }
            _ => self.farm.reopen(),
        }
    }

    fn check(&self) {
        let (farm, repo) = (self.farm.farm(), TestFarm::repo());
        if let Some(current) = farm.current(&repo).unwrap() {
            assert_eq!(seen(&self.farm.current()), self.shows[&current]);
        }
        if let Some(pinned) = farm.state(&repo).unwrap().pinned {
            assert!(farm.has_generation(&repo, &pinned).unwrap(), "the pinned generation is gone");
        }
        for generation in farm.generations(&repo).unwrap() {
            assert_eq!(seen(&farm.root_path(&repo, &generation.commit)), self.shows[&generation.commit]);
        }
    }
}

#[test]
fn pruning_in_any_order_with_deploys_fetches_and_starts_loses_nothing_that_is_kept() {
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (orders, first) = (number("SCENESHIFT_INTERLEAVINGS", ORDERS), number("SCENESHIFT_SEED", 1));
    let mut pruned = 0;
    for seed in first..first + orders {
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut order = Order { farm: TestFarm::new(), shows: BTreeMap::new(), random, pruned: 0 };
        order.farm.mkdir("environments");
        for _ in 0..STEPS {
            order.step();
            order.check();
        }
        pruned += order.pruned;
    }
    println!("{orders} orders of {STEPS} steps: {pruned} generations pruned");
    assert!(pruned > orders, "{pruned} generations pruned");
}
