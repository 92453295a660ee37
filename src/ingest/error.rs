//! Why a commit was not made.

use std::io;
use std::path::PathBuf;

use super::trouble::show_paths;
use crate::codec::MAX_TREE_BYTES;
use crate::disk::DiskError;
use crate::store::StoreError;
use crate::values::{
    CommitError, CommitId, MAX_DEPTH, NameError, RepoName, TargetError, TotalsOverflow, TreeError, TreeId, TreePath,
};

/// Why a commit was not made. In every case the head is where it was.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// There is no staging directory.
    #[error("the staging directory {} does not exist; make it, or correct staging-dir of [repos.{repo}]", path.display())]
    StagingMissing {
        /// The repo.
        repo: RepoName,
        /// Its setting `staging-dir`.
        path: PathBuf,
    },
    /// There is something else in its place.
    #[error("{} is not a directory; correct staging-dir of [repos.{repo}]", path.display())]
    StagingNotADirectory {
        /// The repo.
        repo: RepoName,
        /// Its setting `staging-dir`.
        path: PathBuf,
    },
    /// The staging directory cannot be opened.
    #[error(
        "cannot open the staging directory {}; let the user that runs sceneshift read it, or correct staging-dir of [repos.{repo}]",
        path.display()
    )]
    StagingUnreadable {
        /// The repo.
        repo: RepoName,
        /// Its setting `staging-dir`.
        path: PathBuf,
        /// What the system said.
        source: DiskError,
    },
    /// A file or directory in staging cannot be read.
    #[error(
        "{path} in staging cannot be read; let the user that runs sceneshift read it, or name it in the repo's ignore setting"
    )]
    Unreadable {
        /// Which, from the root of staging.
        path: TreePath,
        /// What the system said.
        source: DiskError,
    },
    /// A socket, FIFO or device.
    #[error(
        "{path} in staging is a socket, FIFO or device, which no commit can hold; remove it, name it in the repo's ignore setting, or set skip-special = true"
    )]
    Special {
        /// Which, from the root of staging.
        path: TreePath,
    },
    /// Directories nested deeper than a commit may hold.
    #[error("{} in staging lies more than {MAX_DEPTH} directories deep; is it a copy of itself?", shorten(path))]
    TooDeep {
        /// Which, from the root of staging.
        path: TreePath,
    },
    /// A directory with too many entries.
    #[error("{path} in staging is too large: its list of names takes {size} bytes, {MAX_TREE_BYTES} are the limit")]
    TreeTooLarge {
        /// Which, from the root of staging.
        path: TreePath,
        /// What its tree would take.
        size: usize,
    },
    /// A directory that no tree can describe.
    #[error("{path} in staging cannot be recorded")]
    Tree {
        /// Which, from the root of staging.
        path: TreePath,
        /// Why.
        source: TreeError,
    },
    /// A symbolic link whose target cannot be recorded.
    #[error(
        "the symbolic link {path} in staging cannot be recorded; remove it, or name it in the repo's ignore setting"
    )]
    LinkTarget {
        /// Which, from the root of staging.
        path: TreePath,
        /// Why.
        source: TargetError,
    },
    /// Staging did not stand still for as long as it takes to read it.
    #[error(
        "staging changed while it was read, each time it was tried ({}); commit when the deployment is done, as from r10k's postrun",
        show_paths(paths)
    )]
    Changing {
        /// Some of what changed, from the root of staging.
        paths: Vec<TreePath>,
    },
    /// An environment's name that is none.
    #[error("{name:?} cannot be the name of an environment")]
    BadEnvironmentName {
        /// What was given.
        name: String,
        /// Why.
        source: NameError,
    },
    /// Environments that neither staging nor the head has.
    #[error("no such environment, in staging or in the head: {}", show_paths(environments))]
    UnknownEnvironment {
        /// Their paths, from the root of staging.
        environments: Vec<TreePath>,
    },
    /// Environments were named where there are none.
    #[error("the repo {repo} has no environments (its environments-dir is \"\"); commit it as a whole")]
    NoEnvironments {
        /// The repo.
        repo: RepoName,
    },
    /// The commit would take everything away.
    #[error(
        "this commit would leave {} without anything to serve: {}; is staging mounted? Send allow-empty (--allow-empty) if it is meant",
        repo, if *removed == 0 { "staging is empty".to_owned() } else { format!("all {removed} environments of the head are gone from staging") }
    )]
    WouldBeEmpty {
        /// The repo.
        repo: RepoName,
        /// How many environments it would remove; 0 where staging is empty.
        removed: usize,
    },
    /// The head is not the one that the request expects.
    #[error("the head is {}, not {expected}; look at what was committed meanwhile", head.map_or_else(|| "not there yet".to_owned(), |head| head.to_string()))]
    HeadMoved {
        /// What the request expects.
        expected: CommitId,
        /// What the head is.
        head: Option<CommitId>,
    },
    /// A message or author that no commit can hold.
    #[error("the commit cannot be made")]
    Commit(#[from] CommitError),
    /// Totals that no commit can hold.
    #[error("the commit cannot be made")]
    Totals(#[from] TotalsOverflow),
    /// The commit to go back to is not there.
    #[error("the commit {commit} of {repo} is not in the store; `sceneshift log` lists those that are")]
    UnknownCommit {
        /// The repo.
        repo: RepoName,
        /// Which commit.
        commit: CommitId,
    },
    /// The store lacks the commit that is the head.
    #[error("the commit {head}, the head of {repo}, is missing in the store; run `sceneshift fsck`")]
    HeadMissing {
        /// The repo.
        repo: RepoName,
        /// Its head.
        head: CommitId,
    },
    /// The store lacks a tree that a commit names.
    #[error("the tree {tree} is missing in the store, and the head names it; run `sceneshift fsck`")]
    Incomplete {
        /// The tree.
        tree: TreeId,
    },
    /// A pattern to leave things out that is none.
    #[error("{pattern:?} is not an ignore pattern; correct ignore of [repos.{repo}]")]
    Pattern {
        /// The repo.
        repo: RepoName,
        /// The pattern.
        pattern: String,
        /// Why.
        source: Box<ignore::Error>,
    },
    /// No threads to work with.
    #[error("cannot start threads to read staging")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Somebody asked to stop.
    #[error("the commit was cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Staging's file system failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Staging's file system failed while a large file was read.
    #[error("cannot read {path} in staging")]
    Read {
        /// Which, from the root of staging.
        path: TreePath,
        /// What the system said.
        source: io::Error,
    },
}

/// The beginning of a path that may have 128 KiB.
fn shorten(path: &TreePath) -> String {
    let text = path.to_string();
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
