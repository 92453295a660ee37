//! What all steps of one commit share, and where its walks start.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use super::clock::Clock;
use super::leave_out::LeaveOut;
use super::node::Fingerprints;
use super::sink::Sink;
use super::trouble::{Trouble, Troubles};
use super::warnings::Warnings;
use super::{IngestError, Repo};
use crate::disk::{Dir, DiskError};
use crate::progress::Progress;
use crate::store::{CommitGuard, ReadStore, Store};
use crate::values::{Name, Totals, TreePath};

/// More threads than these wait for each other in the kernel, and each keeps directories open.
const MOST_THREADS: usize = 8;

/// What all steps of one commit share.
pub(super) struct Work<'a> {
    pub(super) store: &'a Store,
    pub(super) guard: &'a CommitGuard<'a>,
    pub(super) repo: &'a Repo,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a Progress,
    pub(super) leave_out: LeaveOut,
    pub(super) prints: Fingerprints,
    pub(super) sink: Sink<'a>,
    pub(super) warnings: Warnings,
    /// About how many files and links will be walked: as many as the head has; 0 where there is none.
    pub(super) expected_files: u64,
    pool: &'static ThreadPool,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        store: &'a Store,
        guard: &'a CommitGuard<'a>,
        repo: &'a Repo,
        clock: &'a dyn Clock,
        progress: &'a Progress,
        expected_files: u64,
    ) -> Result<Self, IngestError> {
        Ok(Self {
            store,
            guard,
            repo,
            clock,
            progress,
            leave_out: LeaveOut::new(&repo.name, &repo.ignore)?,
            prints: Fingerprints::default(),
            sink: Sink::new(guard),
            warnings: Warnings::new(repo),
            expected_files,
            pool: pool()?,
        })
    }

    /// The staging directory, opened anew: what is mounted there may have changed.
    pub(super) fn open_staging(&self) -> Result<Dir, IngestError> {
        open_staging(self.repo)
    }

    /// Refuses to go on once somebody asked to stop.
    pub(super) fn check_cancelled(&self) -> Result<(), IngestError> {
        if self.progress.is_cancelled() { Err(IngestError::Cancelled) } else { Ok(()) }
    }

    /// Does the steps that `first` begins, and all that they begin, on the commit's threads.
    pub(super) fn in_parallel<'s>(&self, first: impl FnOnce(&Scope<'s>) + Send) {
        self.pool.scope(first);
    }

    /// One step on a thread: not begun once another failed; what goes wrong is noted.
    pub(super) fn step(&self, troubles: &Troubles, step: impl FnOnce() -> Result<(), Trouble>) {
        if troubles.stopped() {
            return;
        }
        let done = self.check_cancelled().map_err(Trouble::from).and_then(|()| step());
        if let Err(trouble) = done {
            troubles.note(trouble);
        }
    }
}

/// The threads that read staging. Few, with a queue that takes the newest first: that keeps as many directories open as their paths are long,
/// and no more. One set for all commits, because memory that a thread has returned stays with the thread's part of the heap: with new threads
/// for each commit the process would grow to several times what one commit needs.
pub(super) fn pool() -> Result<&'static ThreadPool, IngestError> {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("ingest-{at}"));
    let built = builder.build()?;
    Ok(POOL.get_or_init(|| built))
}

/// What staging held when it was committed last: about what a walk of it will come by.
pub(super) fn last_totals(store: &Store, repo: &Repo) -> Totals {
    let head = store.head(&repo.name).ok().flatten().and_then(|head| store.commit(&head).ok().flatten());
    head.map(|commit| commit.root.totals).unwrap_or_default()
}

/// Opens the staging directory of a repo.
pub(super) fn open_staging(repo: &Repo) -> Result<Dir, IngestError> {
    Dir::open(&repo.staging_dir).map_err(|source: DiskError| {
        let (repo, path) = (repo.name.clone(), repo.staging_dir.clone());
        match source.io().kind() {
            std::io::ErrorKind::NotFound => IngestError::StagingMissing { repo, path },
            std::io::ErrorKind::NotADirectory => IngestError::StagingNotADirectory { repo, path },
            _ => IngestError::StagingUnreadable { repo, path, source },
        }
    })
}

/// Where a walk starts, and what it takes in.
#[derive(Debug)]
pub(super) struct Start {
    /// The directory, from the root of staging.
    pub(super) path: TreePath,
    /// Which of its entries; all where absent. Given, the directory itself may change meanwhile.
    pub(super) only: Option<BTreeSet<Name>>,
}

impl Start {
    /// Opens the directory, step by step, following no link.
    pub(super) fn open(&self, staging: Dir) -> Result<Dir, Trouble> {
        open_below(staging, &self.path)
    }
}

/// Opens a directory of staging, step by step, following no link.
pub(super) fn open_below(staging: Dir, path: &TreePath) -> Result<Dir, Trouble> {
    path.names().try_fold(staging, |dir, name| dir.open_dir(&name).map_err(|error| Trouble::at(path, error)))
}
