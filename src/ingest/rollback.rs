//! An old commit's tree as a new commit.

use std::time::Instant;

use super::IngestError;
use super::publish::{Head, answer, check_request, count, next_commit};
use crate::store::{ReadStore, Store};
use crate::values::RepoName;
use crate::wire::api::{Changes, CommitAnswer, RollbackRequest};

/// Makes the tree of an old commit the head again, as a new commit. One whose tree is the head's changes nothing. Staging stays as it is:
/// its next commit brings its content back.
pub fn rollback(store: &Store, repo: &RepoName, request: &RollbackRequest) -> Result<CommitAnswer, IngestError> {
    let begun = Instant::now();
    let author = request.author.clone().unwrap_or_default();
    check_request(request.message.as_deref(), &author)?;
    let guard = store.begin_commit(repo);
    let unknown = || IngestError::UnknownCommit { repo: repo.clone(), commit: request.commit };
    let old = store.commit(&request.commit)?.filter(|old| old.repo == *repo).ok_or_else(unknown)?;
    let head = Head::of(store, repo)?.ok_or_else(unknown)?;
    if head.commit.root == old.root && head.commit.environments_dir == old.environments_dir {
        if guard.head_is_lost()? {
            guard.confirm_survivor()?;
        }
        return Ok(answer(&head, false, Changes::default(), begun, Vec::new()));
    }
    let changes = count(store, Some(head.commit.root.id), old.root.id)?;
    let message = request
        .message
        .clone()
        .unwrap_or_else(|| format!("Roll back to commit {} of {repo}, {}", old.sequence, request.commit.short()));
    let commit = next_commit(repo, Some(&head), old.environments_dir, old.root, author, message)?;
    let id = guard.publish(&commit, [])?;
    Ok(answer(&Head { id, commit }, true, changes, begun, Vec::new()))
}
