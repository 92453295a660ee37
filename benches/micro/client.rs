//! A client's farm, and how commits come to it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sceneshift::farm::{Farm, FarmSettings, Plan, SharedDirs};
use sceneshift::progress::Progress;
use sceneshift::store::ReadStore;
use sceneshift::values::{CommitId, Entry, TreeId};

use crate::estate::{Estate, Primary, repo_name};

/// A client beside its primary; objects go from one to the other without a wire.
pub(crate) struct Client {
    estate: Estate,
    primary: Primary,
    pub(crate) farm: Farm,
    shared: SharedDirs,
    latest: Option<CommitId>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let estate = Estate::new();
        let primary = Primary::new(&estate);
        let farm = Farm::open(&estate.beside("client"), FarmSettings::default()).unwrap();
        let shared = SharedDirs::new(&["environments/*", "environments/*/*modules/*", "modules/*"]).unwrap();
        Self { estate, primary, farm, shared, latest: None }
    }

    /// Commits what staging holds, receives it, and plans it.
    pub(crate) fn receive(&mut self) -> Plan {
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
        self.farm.put_trees(&[(id, self.primary.store.tree_bytes(&id).unwrap().unwrap())]).unwrap();
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
    pub(crate) fn receive_edit(&mut self) -> Plan {
        self.estate.edit();
        self.receive()
    }

    pub(crate) fn build(&self, plan: &Plan) {
        self.farm.build(plan, &Progress::default()).unwrap();
    }

    /// A path beside all that it has.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.estate.beside(name)
    }

    /// Closes both sides; what they wrote stays as long as the estate.
    pub(crate) fn close(self) -> Estate {
        self.estate
    }
}
