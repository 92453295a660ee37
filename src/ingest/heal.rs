//! What `fsck` found on a primary, put right from staging, as far as staging still has it; then every finding is looked at again.
//!
//! Staging's content is believed only where it hashes to the id that is wanted. No commit is made, no head is moved.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use super::{IngestError, Repo, repair, restore_trees};
use crate::codec::decode_tree;
use crate::findings::{Outcome, PrimaryFinding};
use crate::progress::Progress;
use crate::store::{Family, Key, ReadStore, Store, StoreError, lost_heads};
use crate::values::{BlobId, CommitId, Hasher, RepoName, TagName, TreeId, TreePath};

/// Repairs what is still wrong, and says of each finding what became of it. Blocks; waits for commits under way.
pub fn heal(store: &Store, repos: &[Repo], findings: Vec<PrimaryFinding>, progress: &Progress) -> Vec<Outcome> {
    let mut troubles = Vec::new();
    let mut attempt = |done: Result<(), IngestError>| {
        if let Err(error) = done {
            troubles.push(told(&error));
        }
    };
    // First what keeps commits from reading content that is not there.
    attempt(forget_lies(store, &findings));
    attempt(remove_names(store, &findings));
    let blobs: BTreeSet<BlobId> = findings.iter().flat_map(blobs_in_doubt).collect();
    let mut blobs: BTreeSet<BlobId> = blobs.into_iter().filter(|id| !is_sound(store, id)).collect();
    let mut trees: BTreeSet<TreeId> = findings.iter().filter_map(tree_in_doubt).collect();
    trees.retain(|id| !tree_is_sound(store, id));
    for repo in repos {
        if !blobs.is_empty() {
            attempt(repair(store, repo, &blobs, progress).map(|done| blobs.retain(|id| !done.contains(id))));
        }
        if !trees.is_empty() {
            attempt(restore_trees(store, repo, &trees, progress).map(|done| trees.retain(|id| !done.contains(id))));
        }
    }
    let outcome = |finding: PrimaryFinding| match holds(store, &finding) {
        Ok(false) => Outcome::repaired(finding, "all is well there now"),
        Ok(true) => {
            let detail = [&[advice(&finding).to_owned()], &troubles[..]].concat().join("; ");
            Outcome::remains(finding, detail)
        }
        Err(error) => Outcome::remains(finding, told(&error)),
    };
    findings.into_iter().map(outcome).collect()
}

/// An error with its causes, in one line.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.extend([": ", &deeper.to_string()]);
        cause = deeper.source();
    }
    text
}

fn blobs_in_doubt(finding: &PrimaryFinding) -> Vec<BlobId> {
    match finding {
        PrimaryFinding::BlobDamaged { id }
        | PrimaryFinding::BlobUnreadable { id }
        | PrimaryFinding::BlobMissing { id, .. } => vec![*id],
        PrimaryFinding::ChunkMissing { blob, chunk } | PrimaryFinding::ChunkLength { blob, chunk } => {
            vec![*blob, *chunk]
        }
        _ => Vec::new(),
    }
}

fn tree_in_doubt(finding: &PrimaryFinding) -> Option<TreeId> {
    match finding {
        PrimaryFinding::TreeDamaged { id } | PrimaryFinding::TreeMissing { id, .. } => Some(*id),
        _ => None,
    }
}

/// Forgets what the stat cache says of directories of which it says what is not so.
fn forget_lies(store: &Store, findings: &[PrimaryFinding]) -> Result<(), IngestError> {
    let mut lies: BTreeMap<&RepoName, Vec<(TreePath, Option<_>)>> = BTreeMap::new();
    for finding in findings {
        if let PrimaryFinding::StatCacheLies { repo, dir } = finding {
            lies.entry(repo).or_default().push((dir.clone(), None));
        }
    }
    for (repo, dirs) in lies {
        store.begin_commit(repo).write_stat_cache(dirs)?;
    }
    Ok(())
}

/// Removes tags that name nothing, and records that are nobody's.
fn remove_names(store: &Store, findings: &[PrimaryFinding]) -> Result<(), IngestError> {
    for finding in findings {
        match finding {
            PrimaryFinding::TagMissingCommit { repo, tag, commit } if names_nothing(store, repo, tag, commit)? => {
                store.remove_tag(repo, tag)?;
            }
            PrimaryFinding::TagUnreadable { key } => {
                if let Some((repo, tag)) = tag_of(key)
                    && tag_is_unreadable(store, &repo, &tag)?
                {
                    store.remove_tag(&repo, &tag)?;
                }
            }
            PrimaryFinding::ForeignRecord { family, key } => store.remove_foreign(family, key)?,
            _ => {}
        }
    }
    Ok(())
}

/// The tag that a record's key tells, where it tells one.
fn tag_of(key: &str) -> Option<(RepoName, TagName)> {
    let (repo, tag) = key.split_once(':')?;
    Some((repo.parse().ok()?, tag.parse().ok()?))
}

/// Whether a tag still names this commit, which is not stored.
fn names_nothing(store: &Store, repo: &RepoName, tag: &TagName, commit: &CommitId) -> Result<bool, StoreError> {
    Ok(store.tag(repo, tag)? == Some(*commit) && store.commit(commit)?.is_none())
}

fn tag_is_unreadable(store: &Store, repo: &RepoName, tag: &TagName) -> Result<bool, StoreError> {
    match store.tag(repo, tag) {
        Ok(_) => Ok(false),
        Err(StoreError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a finding is so now.
fn holds(store: &Store, finding: &PrimaryFinding) -> Result<bool, StoreError> {
    Ok(match finding {
        PrimaryFinding::BlobDamaged { id }
        | PrimaryFinding::BlobUnreadable { id }
        | PrimaryFinding::BlobMissing { id, .. } => !is_sound(store, id),
        PrimaryFinding::ChunkMissing { blob, .. } | PrimaryFinding::ChunkLength { blob, .. } => !is_sound(store, blob),
        PrimaryFinding::TreeDamaged { id } | PrimaryFinding::TreeMissing { id, .. } => !tree_is_sound(store, id),
        PrimaryFinding::TagMissingCommit { repo, tag, commit } => names_nothing(store, repo, tag, commit)?,
        PrimaryFinding::TagUnreadable { key } => match tag_of(key) {
            Some((repo, tag)) => tag_is_unreadable(store, &repo, &tag)?,
            None => true,
        },
        PrimaryFinding::StatCacheLies { repo, dir } => match store.stat_record(repo, dir)? {
            Some(record) => {
                let tree_is_there = record.tree().map_or(Ok(true), |tree| store.tree_is_there(&tree))?;
                !tree_is_there || !record.files().iter().all(|file| store.blob_is_there(&file.id).unwrap_or(false))
            }
            None => false,
        },
        PrimaryFinding::ForeignRecord { family, key } => {
            let Some(family) = Family::ALL.into_iter().find(|known| known.name() == family) else { return Ok(false) };
            let mut there = false;
            store.each_record(family, &mut |found, _| {
                there |= Key::new(family, found).to_string() == *key;
                Ok(())
            })?;
            there
        }
        PrimaryFinding::HeadLost { repo, .. } => lost_heads(store)?.iter().any(|(lost, _)| lost == repo),
        PrimaryFinding::BlobSize { .. }
        | PrimaryFinding::TreeTotals { .. }
        | PrimaryFinding::TreeTooDeep { .. }
        | PrimaryFinding::CommitDamaged { .. }
        | PrimaryFinding::HeadMissingCommit { .. }
        | PrimaryFinding::HeadOtherRepo { .. }
        | PrimaryFinding::HeadUnreadable { .. }
        | PrimaryFinding::BlocksDamaged { .. } => true,
    })
}

/// What to do about what staging cannot put right.
fn advice(finding: &PrimaryFinding) -> &'static str {
    match finding {
        PrimaryFinding::BlobDamaged { .. }
        | PrimaryFinding::BlobUnreadable { .. }
        | PrimaryFinding::BlobMissing { .. }
        | PrimaryFinding::ChunkMissing { .. }
        | PrimaryFinding::ChunkLength { .. } => {
            "no staging directory has this content any more: put it back there and repair again; where only old commits, or none, need it, \
             `sceneshift gc` removes it with them"
        }
        PrimaryFinding::TreeDamaged { .. } | PrimaryFinding::TreeMissing { .. } => {
            "no directory of staging is like this any more: put it back there and repair again; where only old commits, or none, need it, \
             `sceneshift gc` removes it with them"
        }
        PrimaryFinding::BlobSize { .. } | PrimaryFinding::TreeTotals { .. } | PrimaryFinding::TreeTooDeep { .. } => {
            "the commit itself is wrong: make a new one; `sceneshift gc` removes this one when it is old enough"
        }
        PrimaryFinding::CommitDamaged { .. }
        | PrimaryFinding::HeadMissingCommit { .. }
        | PrimaryFinding::HeadOtherRepo { .. }
        | PrimaryFinding::HeadUnreadable { .. } => {
            "a commit exists nowhere else: stop the primary and repair again, which makes a new store of what can be read; then start it and \
             commit; what is live on clients stays live meanwhile"
        }
        PrimaryFinding::HeadLost { .. } => {
            "start the primary, and `sceneshift commit` makes a new one of what stands in staging"
        }
        PrimaryFinding::BlocksDamaged { .. } => {
            "the disk below the database is damaged: stop the primary and repair again, which makes a new store of what can be read; what is \
             live on clients stays live meanwhile"
        }
        PrimaryFinding::TagMissingCommit { .. }
        | PrimaryFinding::TagUnreadable { .. }
        | PrimaryFinding::StatCacheLies { .. }
        | PrimaryFinding::ForeignRecord { .. } => "the record could not be removed",
    }
}

/// Whether a blob is stored, readable, and what its id says.
fn is_sound(store: &Store, id: &BlobId) -> bool {
    let mut hash = Hasher::new();
    matches!(store.copy_blob(id, &mut hash), Ok(Some(_))) && hash.id() == *id
}

fn tree_is_sound(store: &Store, id: &TreeId) -> bool {
    let bytes = store.tree_bytes(id).ok().flatten();
    bytes.is_some_and(|bytes| TreeId::of(&bytes) == *id && decode_tree(&bytes).is_ok())
}
