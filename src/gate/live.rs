//! What is live: what a response that read code is stamped with.

use std::collections::BTreeMap;

use crate::pause::Scope;
use crate::values::RepoName;

/// What a repo serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRepo {
    /// The commit's id.
    pub commit: String,
    /// The id of each environment's tree.
    pub environments: BTreeMap<String, String>,
}

/// What all repos serve.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    pub(super) repos: BTreeMap<RepoName, LiveRepo>,
}

/// Which version answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) commit: Option<String>,
    pub(super) code_id: Option<String>,
}

impl Live {
    /// The stamp of a request that reads these environments: the commit of the repo that has them, and the tree's id where it is a
    /// single one.
    pub(super) fn stamp(&self, scope: &Scope) -> Stamp {
        if let Scope::Environments(names) = scope
            && let [name] = names.as_slice()
        {
            let mut having = self.repos.values().filter_map(|repo| Some((repo, repo.environments.get(name)?)));
            if let Some((repo, id)) = having.next() {
                return Stamp { commit: Some(repo.commit.clone()), code_id: Some(id.clone()) };
            }
        }
        let mut all = self.repos.values();
        match (all.next(), all.next()) {
            (Some(only), None) => Stamp { commit: Some(only.commit.clone()), code_id: None },
            _ => Stamp::default(),
        }
    }
}
