//! The index: what cannot be read, and whether generations have all the commits, trees and blob records that they need.

use std::collections::{HashMap, HashSet};

use super::{Check, file};
use crate::farm::{BlobKey, Flaw};
use crate::findings::{At, ClientFinding};
use crate::values::{Entry, MAX_DEPTH, Subtree, Totals, TreeId, TreePath};

/// What generations need of blob files.
pub(super) type Needs = HashSet<BlobKey>;

/// Which trees were walked, with what they hold; `None` for those that are missing or damaged.
type Walked = HashMap<TreeId, Option<Totals>>;

impl Check<'_> {
    pub(super) fn objects(&self) -> Needs {
        self.flaws();
        let (mut walked, mut needs) = (Walked::new(), Needs::new());
        for (repo, commit, _) in &self.survey.generations {
            let Some(read) = self.survey.commits.get(commit) else {
                if !self.survey.flaws.contains(&Flaw::Commit(*commit)) && !self.survey.is_partial("commits") {
                    self.find(ClientFinding::IndexCommitMissing { repo: repo.clone(), commit: *commit });
                }
                continue;
            };
            let at = At { repo: repo.clone(), commit: *commit, path: TreePath::root() };
            self.walk(read.root, &at, &mut walked, &mut needs);
        }
        needs
    }

    fn flaws(&self) {
        for flaw in &self.survey.flaws {
            self.find(match flaw.clone() {
                Flaw::Tree(id) => ClientFinding::IndexTreeDamaged { id },
                Flaw::Commit(id) => ClientFinding::IndexCommitDamaged { id },
                Flaw::Record { family, key } => ClientFinding::IndexRecordUnreadable { family: family.to_owned(), key },
                Flaw::Blocks { family } => ClientFinding::IndexBlocksDamaged { family: family.to_owned() },
            });
        }
    }

    fn walk(&self, subtree: Subtree, at: &At, walked: &mut Walked, needs: &mut Needs) {
        let Subtree { id, totals } = subtree;
        if let Some(known) = walked.get(&id) {
            self.compare(*known, totals, id, at);
            return;
        }
        let tree = self.survey.trees.get(&id);
        walked.insert(id, tree.map(|tree| tree.totals()));
        let Some(tree) = tree else {
            if !self.survey.flaws.contains(&Flaw::Tree(id)) && !self.survey.is_partial("trees") {
                self.find(ClientFinding::IndexTreeMissing { id, at: at.clone() });
            }
            return;
        };
        self.compare(Some(tree.totals()), totals, id, at);
        if at.path.depth() >= MAX_DEPTH {
            return;
        }
        for (name, entry) in tree.entries() {
            let at = || At { path: at.path.join(name), ..at.clone() };
            match entry {
                Entry::Tree(subtree) => self.walk(*subtree, &at(), walked, needs),
                Entry::File { id, executable, size } if *size > 0 => {
                    let key = BlobKey { id: *id, executable: *executable };
                    let lacking = needs.insert(key) && !self.survey.blobs.contains_key(&key);
                    if lacking && !self.survey.is_partial("blobs") && !self.has_flawed_record("blobs", &key) {
                        self.find(ClientFinding::IndexBlobMissing { file: file(key), at: at() });
                    }
                }
                Entry::File { .. } | Entry::Symlink(_) => {}
            }
        }
    }

    fn compare(&self, found: Option<Totals>, wanted: Totals, id: TreeId, at: &At) {
        if found.is_some_and(|found| found != wanted) {
            self.find(ClientFinding::IndexTreeTotals { id, at: at.clone() });
        }
    }

    /// Whether a blob's record is there and cannot be read, which is told already.
    fn has_flawed_record(&self, family: &str, key: &BlobKey) -> bool {
        let wanted = key.index_key();
        self.survey
            .flaws
            .iter()
            .any(|flaw| matches!(flaw, Flaw::Record { family: f, key } if *f == family && *key == wanted))
    }
}
