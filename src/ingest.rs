//! Staging to commit: the only way in which code enters the store.
//!
//! ```text
//! attempt.rs    at most three tries, each: walk and read, look again
//! scan.rs       the walk, and the tree of each directory
//! read.rs       reading a file that the stat cache does not vouch for
//! verify.rs     the last look
//! look.rs       one directory: its entries, without what is left out (leave_out.rs)
//! node.rs       what a walk remembers
//! seal.rs       a directory's tree; sink.rs takes it to the store
//! scope.rs      commits of some environments only
//! publish.rs    the commit itself; forget.rs, what it leaves behind in the stat cache
//! message.rs    a message from what r10k deployed; warnings.rs
//! clock.rs      which time stamps can be trusted
//! rollback.rs   an old tree as a new commit
//! heal.rs       what fsck found, put right from staging: repair.rs, blobs; restore.rs, trees
//! ```
//!
//! Invariants:
//! - **A commit is one instant of staging.** Every entry looked the same before it was read and after the last read, and was old enough at the
//!   first look for any change to show. While staging does not stand still, the commit is refused.
//! - **The head is whole** (`storage-format.md` §9): a directory's tree is given to the store after all that it names.
//! - **No link is followed**, and nothing is opened by more than one name at a time.
//! - **Memory does not grow with the content**, and with the number of files by their names and ten bytes each.
//!
//! Deliberately absent: when to commit (whoever deploys into staging knows that), and any write to staging.

mod attempt;
mod clock;
mod error;
mod forget;
#[cfg(fuzzing)]
pub mod fuzzing;
mod heal;
mod leave_out;
mod look;
mod message;
mod node;
mod publish;
mod read;
mod rebuild;
mod repair;
mod restore;
mod rollback;
mod scan;
mod scope;
mod seal;
mod sink;
#[cfg(test)]
mod tests;
mod trouble;
mod verify;
mod warnings;
mod work;

use std::path::PathBuf;
use std::time::Instant;

pub use error::IngestError;
pub use heal::heal;
pub use rebuild::{LostHead, Rebuilt, rebuild};
pub use repair::repair;
pub use restore::restore_trees;
pub use rollback::rollback;

use crate::progress::{Phase, Progress};
use crate::store::Store;
use crate::values::{Name, RepoName, Subtree, TreePath};
use crate::wire::api::{Changes, CommitAnswer, CommitRequest};
use clock::{Clock, FileSystemClock};
use publish::{Head, answer, check_request, next_commit};
use scope::{Environments, Scope, environments_of, parse_names};
use work::Work;

/// A repo, as it is configured.
#[derive(Debug, Clone)]
pub struct Repo {
    /// Its name.
    pub name: RepoName,
    /// What is committed.
    pub staging_dir: PathBuf,
    /// Where environments lie in it; the root for a repo that has none.
    pub environments_dir: TreePath,
    /// What to leave out: gitignore patterns.
    pub ignore: Vec<String>,
    /// Leave sockets, FIFOs and devices out, where they would refuse the commit.
    pub skip_special: bool,
}

/// Commits staging, or some environments of it. Blocks; waits until no other commit of the repo is under way.
pub fn commit(
    store: &Store,
    repo: &Repo,
    request: &CommitRequest,
    progress: &Progress,
) -> Result<CommitAnswer, IngestError> {
    commit_by(&FileSystemClock, store, repo, request, progress)
}

fn commit_by(
    clock: &dyn Clock,
    store: &Store,
    repo: &Repo,
    request: &CommitRequest,
    progress: &Progress,
) -> Result<CommitAnswer, IngestError> {
    let begun = Instant::now();
    let wanted = parse_names(&request.environments)?;
    check_request(request.message.as_deref(), &request.author.clone().unwrap_or_default())?;
    let guard = store.begin_commit(&repo.name);
    let head = Head::of(store, &repo.name)?;
    check_expected(request, head.as_ref())?;
    let lost = guard.head_is_lost()?;
    let scope = match &head {
        // Texts without a name name no environment: only what is gone from staging goes. A deploy tool that deployed none says so.
        // What survived of a lost head is too old to take other environments from.
        Some(Head { commit, .. }) if !request.environments.is_empty() && !lost => {
            Scope::Environments(Environments::new(store, wanted, &repo.environments_dir, commit)?)
        }
        _ => Scope::Whole,
    };
    let expected = scope.files(head.as_ref().map(|head| &head.commit.root));
    let work = Work::new(store, &guard, repo, clock, progress, expected)?;
    let committed = commit_scope(&work, &scope, head, request);
    if committed.is_err() {
        // What was learnt stays true and spares the next commit its reading. Where this fails too, the error at hand says more.
        let _unsaved = work.sink.write_all();
    }
    let Committed { head, created, changes } = committed?;
    if lost && !created {
        guard.confirm_survivor()?;
    }
    Ok(answer(&head, created, changes, begun, work.warnings.into_texts()))
}

struct Committed {
    head: Head,
    created: bool,
    changes: Changes,
}

fn commit_scope(
    work: &Work<'_>,
    scope: &Scope,
    head: Option<Head>,
    request: &CommitRequest,
) -> Result<Committed, IngestError> {
    let repo = work.repo;
    let is_head = |root: &Subtree| {
        let same = |head: &Head| head.commit.root == *root && head.commit.environments_dir == repo.environments_dir;
        head.as_ref().is_some_and(same)
    };
    let found = attempt::find(work, scope, &is_head)?;
    if found.staging_is_empty && !request.allow_empty {
        return Err(IngestError::WouldBeEmpty { repo: repo.name.clone(), removed: 0 });
    }
    let head = match head {
        Some(head) if is_head(&found.root) => {
            work.sink.write_all()?;
            return Ok(Committed { head, created: false, changes: Changes::default() });
        }
        other => other,
    };
    work.progress.begin(Phase::Writing, 0, 0);
    work.sink.write_trees()?;
    let changed = changed_environments(work, head.as_ref(), &found.root, request.allow_empty)?;
    let before = head.as_ref().map(|head| head.commit.root.id);
    let changes = publish::count(work.store, before, found.root.id)?;
    if let Some(before) = before {
        forget::forget_gone(work, &before, &found.root.id)?;
    }
    let message = match &request.message {
        Some(message) => message.clone(),
        None => message::from_deploy_files(work.open_staging()?, &repo.environments_dir, &changed),
    };
    let author = request.author.clone().unwrap_or_default();
    let environments_dir = repo.environments_dir.clone();
    let commit = next_commit(&repo.name, head.as_ref(), environments_dir, found.root, author, message)?;
    work.check_cancelled()?;
    let id = work.guard.publish(&commit, work.sink.rest()?)?;
    Ok(Committed { head: Head { id, commit }, created: true, changes })
}

fn check_expected(request: &CommitRequest, head: Option<&Head>) -> Result<(), IngestError> {
    let head = head.map(|head| head.id);
    match request.expect_head {
        Some(expected) if head != Some(expected) => Err(IngestError::HeadMoved { expected, head }),
        _ => Ok(()),
    }
}

/// The environments of the new root that the head does not have like this. Refuses a root without any where the head has some.
fn changed_environments(
    work: &Work<'_>,
    head: Option<&Head>,
    root: &Subtree,
    allow_empty: bool,
) -> Result<Vec<Name>, IngestError> {
    let environments = |root: &Subtree| environments_of(work.store, &root.id, &work.repo.environments_dir);
    let before = head.map_or_else(|| Ok(Vec::new()), |head| environments(&head.commit.root))?;
    let after = environments(root)?;
    if after.is_empty() && !before.is_empty() && !allow_empty {
        return Err(IngestError::WouldBeEmpty { repo: work.repo.name.clone(), removed: before.len() });
    }
    let new = after.into_iter().filter(|environment| {
        before.binary_search_by(|other| other.0.cmp(&environment.0)).ok().is_none_or(|at| before[at].1 != environment.1)
    });
    Ok(new.map(|(name, _)| name).collect())
}
