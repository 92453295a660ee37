//! The commit itself: what it follows, what it says, how it is answered.

use std::time::Instant;

use super::{IngestError, clock};
use crate::store::{ChangeCounts, ReadStore, Store, StoreError, count_changes};
use crate::values::{Author, Commit, CommitError, CommitId, MAX_MESSAGE, RepoName, Subtree, TreeId, TreePath};
use crate::wire::api::{Changes, CommitAnswer};

/// The newest commit of a repo.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: CommitId,
    pub(super) commit: Commit,
}

impl Head {
    /// The head of `repo`, where it has one.
    pub(super) fn of(store: &Store, repo: &RepoName) -> Result<Option<Self>, IngestError> {
        let Some(id) = store.head(repo)? else { return Ok(None) };
        let missing = || IngestError::HeadMissing { repo: repo.clone(), head: id };
        Ok(Some(Self { id, commit: store.commit(&id)?.ok_or_else(missing)? }))
    }
}

/// Refuses what no commit can hold before any work is done for it.
pub(super) fn check_request(message: Option<&str>, author: &Author) -> Result<(), CommitError> {
    let author = author.name.len().max(author.email.len());
    match message.map_or(0, str::len) {
        length if length > MAX_MESSAGE => Err(CommitError::MessageTooLong(length)),
        _ if author > usize::from(u16::MAX) => Err(CommitError::AuthorTooLong(author)),
        _ => Ok(()),
    }
}

/// The commit that follows `head`.
pub(super) fn next_commit(
    repo: &RepoName,
    head: Option<&Head>,
    environments_dir: TreePath,
    root: Subtree,
    author: Author,
    message: String,
) -> Result<Commit, CommitError> {
    let commit = Commit {
        repo: repo.clone(),
        environments_dir,
        root,
        parent: head.map(|head| head.id),
        sequence: head.map_or(1, |head| head.commit.sequence.saturating_add(1)),
        time: clock::milliseconds(),
        author,
        message,
    };
    commit.check()?;
    Ok(commit)
}

/// What differs between the head's root and a new one.
pub(super) fn count(store: &Store, from: Option<TreeId>, to: TreeId) -> Result<Changes, StoreError> {
    let ChangeCounts { added, modified, removed } = count_changes(store, from, to)?;
    Ok(Changes { added, modified, removed })
}

/// How a commit is answered: with `head`, which it created or found.
pub(super) fn answer(
    head: &Head,
    created: bool,
    changes: Changes,
    begun: Instant,
    warnings: Vec<String>,
) -> CommitAnswer {
    let Commit { repo, root, parent, sequence, .. } = &head.commit;
    CommitAnswer {
        repo: repo.clone(),
        commit: head.id,
        tree: root.id,
        parent: *parent,
        sequence: *sequence,
        created,
        changes,
        files: root.totals.files,
        bytes: root.totals.bytes,
        seconds: begun.elapsed().as_secs_f64(),
        warnings,
    }
}
