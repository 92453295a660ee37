//! What a client does with a commit that it has received: build a generation, make it current.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use criterion::{BatchSize, Criterion};
use sceneshift::farm::{Farm, FarmSettings, Plan, SharedDirs};
use sceneshift::pause::Paused;
use sceneshift::progress::Progress;
use sceneshift::store::ReadStore;
use sceneshift::values::{CommitId, Entry, TreeId};

use crate::estate::{Estate, Primary, repo_name};

/// A client beside its primary; objects go from one to the other without a wire.
struct Client {
    estate: Estate,
    primary: Primary,
    farm: Farm,
    shared: SharedDirs,
    latest: Option<CommitId>,
}

impl Client {
    fn new() -> Self {
        let estate = Estate::new();
        let primary = Primary::new(&estate);
        let farm = Farm::open(&estate.beside("client"), FarmSettings::default()).unwrap();
        let shared = SharedDirs::new(&["environments/*", "environments/*/*modules/*", "modules/*"]).unwrap();
        Self { estate, primary, farm, shared, latest: None }
    }

    /// Commits what staging holds, receives it, and plans it.
    fn receive(&mut self) -> Plan {
        let id = self.primary.commit(true);
        let commit = self.primary.store.commit(&id).unwrap().unwrap();
        self.farm.put_commit(&commit).unwrap();
        self.receive_tree(commit.root.id);
        self.farm.settle().unwrap();
        let before = self.latest.replace(id);
        let before = before.and_then(|before| self.farm.index().generation(&repo_name(), &before).unwrap());
        self.farm.plan(id, &commit, &self.shared, before.as_ref()).unwrap()
    }

    fn receive_tree(&self, id: TreeId) {
        if self.farm.has_tree(&id).unwrap() {
            return;
        }
        self.farm.put_tree(&self.primary.store.tree_bytes(&id).unwrap().unwrap()).unwrap();
        for (_, entry) in self.farm.tree(&id).unwrap().entries() {
            match entry {
                Entry::Tree(subtree) => self.receive_tree(subtree.id),
                Entry::File { id, executable, .. } => {
                    let mut content = Vec::new();
                    self.primary.store.copy_blob(id, &mut content).unwrap();
                    let mut writer = self.farm.blob_writer().unwrap();
                    writer.write(&content).unwrap();
                    writer.finish(*id, &BTreeSet::from([*executable])).unwrap();
                }
                Entry::Symlink(_) => {}
            }
        }
    }

    /// Edits one file and receives the commit of it.
    fn receive_edit(&mut self) -> Plan {
        self.estate.edit();
        self.receive()
    }

    fn build(&self, plan: &Plan) {
        self.farm.build(plan, &Progress::default()).unwrap();
    }
}

/// From a plan to a durable generation: two shared trees of 25 links and 20 links to modules, `syncfs`, one synced write of the index.
pub(crate) fn builds(criterion: &mut Criterion) {
    let mut client = Client::new();
    let plan = client.receive();
    client.build(&plan);
    let mut group = criterion.benchmark_group("farm, 2000 files");
    group.bench_function("build after one file changed", |bencher| {
        // The farm is lent to the setup and to the routine by turns.
        let client = std::cell::RefCell::new(&mut client);
        let setup = || client.borrow_mut().receive_edit();
        bencher.iter_batched(setup, |plan| client.borrow().build(&plan), BatchSize::PerIteration);
    });
    group.finish();
}

/// The only step that requests wait for, to and fro between two generations.
pub(crate) fn swaps(criterion: &mut Criterion) {
    let mut client = Client::new();
    let mut group = criterion.benchmark_group("swap");
    let swaps = [client.receive(), client.receive_edit()].map(|plan| {
        client.build(&plan);
        client.farm.prepare_swap(&repo_name(), &plan.commit).unwrap()
    });
    let mut turn = swaps.iter().cycle();
    group.bench_function("of current", |bencher| {
        bencher.iter(|| turn.next().unwrap().make(&Paused::nothing()).unwrap());
    });
    let (link, temporary) = (client.estate.beside("link"), client.estate.beside("temporary"));
    // ext4 keeps a target of up to 59 bytes in the link's inode, and a longer one, like that of `current`, in a block of its own.
    let targets = ["a target as long", "a target of 59 bytes"].into_iter().zip([81, 59]);
    for (what, length) in targets {
        let target = "g".repeat(length);
        group.bench_function(format!("bare symlink and rename, {what}"), |bencher| {
            bencher.iter(|| {
                symlink(&target, &temporary).unwrap();
                std::fs::rename(&temporary, &link).unwrap();
            });
        });
    }
    group.finish();
}
