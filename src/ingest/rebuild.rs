//! A primary's store made anew of what can be read of a damaged one, and what its heads are then.
//!
//! A head is lost where its commit was, and where a client runs a newer commit than any that was saved. What survived is then followed by the
//! next commit, but told to nobody as the newest: clients would go back to it by themselves, and nobody decided that.
//!
//! Deliberately absent: what commits lack of blobs and trees, which a check finds and [`super::heal`] takes from staging.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::IngestError;
use crate::codec::decode_commit;
use crate::datadir::DataDir;
use crate::progress::{Phase, Progress};
use crate::store::{Family, ReadStore, Salvage, Saved, Store, StoreError};
use crate::values::{CommitId, RepoName};
use crate::wire::api::ClientReport;

/// What became of a store that was made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rebuilt {
    /// What was saved, and what was not.
    #[serde(flatten)]
    pub saved: Saved,
    /// The repos whose newest commit was lost.
    pub lost_heads: Vec<LostHead>,
}

/// A head that was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LostHead {
    /// The repo.
    pub repo: RepoName,
    /// What it was, where that is known.
    pub lost: Option<CommitId>,
    /// The newest commit that was saved, which the next one follows.
    pub survivor: Option<CommitId>,
    /// Its sequence.
    pub sequence: Option<u64>,
}

/// Makes the store anew and puts it in the old one's place, which stays beside it. Blocks; nobody else may have the store open.
pub fn rebuild(data: &DataDir, progress: &Progress) -> Result<Rebuilt, IngestError> {
    progress.begin(Phase::Checking, 0, 0);
    let salvage = Salvage::new(data, progress)?;
    let lost_heads = settle_heads(salvage.store())?;
    Ok(Rebuilt { saved: salvage.put_in_place()?, lost_heads })
}

fn settle_heads(store: &Store) -> Result<Vec<LostHead>, StoreError> {
    let mut newest: BTreeMap<RepoName, (u64, CommitId)> = BTreeMap::new();
    store.each_record(Family::Commits, &mut |key, value| {
        if let (Ok(id), Ok(commit)) = (<[u8; 32]>::try_from(key), decode_commit(value)) {
            let id = CommitId::from_bytes(id);
            let known = newest.entry(commit.repo).or_insert((commit.sequence, id));
            *known = (*known).max((commit.sequence, id));
        }
        Ok(())
    })?;
    let reported = reported(store)?;
    let heads: BTreeMap<RepoName, CommitId> = store.heads()?.into_iter().collect();
    // One of which nothing is left but that it was served.
    let served: Vec<RepoName> = store.staging_dirs()?.into_iter().map(|(repo, _)| repo).collect();
    let repos: BTreeSet<&RepoName> = newest.keys().chain(heads.keys()).chain(reported.keys()).chain(&served).collect();
    let mut lost = Vec::new();
    for repo in repos {
        let (head, survivor) = (heads.get(repo).copied(), newest.get(repo).copied());
        let sequence = match head.map(|head| store.commit(&head)).transpose()?.flatten() {
            Some(commit) if commit.repo == *repo => Some(commit.sequence),
            _ => None,
        };
        let ahead = reported.get(repo).filter(|(reported, _)| Some(*reported) > survivor.map(|(sequence, _)| sequence));
        let lost_id = match (sequence, ahead) {
            // The commits behind the head were saved: it is what it was.
            (Some(_), None) => continue,
            (_, Some((_, id))) => Some(*id),
            (None, None) => head,
        };
        store.set_survivor(repo, survivor.as_ref().map(|(_, id)| id), lost_id.as_ref())?;
        lost.push(LostHead {
            repo: repo.clone(),
            lost: lost_id,
            survivor: survivor.map(|(_, id)| id),
            sequence: survivor.map(|(sequence, _)| sequence),
        });
    }
    Ok(lost)
}

/// The newest commit of each repo that a client says it runs.
fn reported(store: &Store) -> Result<BTreeMap<RepoName, (u64, CommitId)>, StoreError> {
    #[derive(Deserialize)]
    struct Seen {
        report: ClientReport,
    }
    let mut newest: BTreeMap<RepoName, (u64, CommitId)> = BTreeMap::new();
    for (_, json) in store.clients()? {
        let Ok(Seen { report }) = serde_json::from_slice(&json) else { continue };
        for (repo, status) in report.repos {
            if let (Some(sequence), Some(id)) = (status.sequence, status.deployed) {
                let known = newest.entry(repo).or_insert((sequence, id));
                *known = (*known).max((sequence, id));
            }
        }
    }
    Ok(newest)
}
