//! Why a try came to nothing: staging changed under it, or something that another try would meet again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::IngestError;
use crate::disk::DiskError;
use crate::values::TreePath;

/// How many paths an error names.
const MOST_PATHS: usize = 20;

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// These entries are not what they were a moment ago.
    Changed(Vec<TreePath>),
    /// Another try would meet it again.
    Failed(IngestError),
}

impl<E: Into<IngestError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Trouble {
    /// This entry is not what it was a moment ago.
    pub(super) fn changed(path: &TreePath) -> Self {
        Self::Changed(vec![path.clone()])
    }

    /// What it means that the system refused to look at `path`, which was there when its directory was listed.
    pub(super) fn at(path: &TreePath, error: DiskError) -> Self {
        let Some(code) = error.io().raw_os_error() else { return error.into() };
        match Errno::from_raw(code) {
            // It went, or became something else: a link (ELOOP by O_NOFOLLOW), a file in a directory's place, a socket (ENXIO), no
            // link any more (EINVAL, by readlink).
            Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::EINVAL | Errno::ESTALE => {
                Self::changed(path)
            }
            Errno::EACCES | Errno::EPERM => IngestError::Unreadable { path: path.clone(), source: error }.into(),
            _ => error.into(),
        }
    }
}

/// What went wrong on any of the threads that read staging.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    changed: Mutex<BTreeSet<TreePath>>,
    failed: Mutex<Option<IngestError>>,
    stop: AtomicBool,
}

impl Troubles {
    /// Notes trouble. The first failure stops all threads; changes do not, so that the next try finds more done.
    pub(super) fn note(&self, trouble: Trouble) {
        match trouble {
            Trouble::Changed(paths) => {
                let mut changed = lock(&self.changed);
                changed.extend(paths);
                while changed.len() > MOST_PATHS {
                    changed.pop_last();
                }
            }
            Trouble::Failed(error) => {
                lock(&self.failed).get_or_insert(error);
                self.stop.store(true, Relaxed);
            }
        }
    }

    /// Whether anything changed, so that another try is needed.
    pub(super) fn changed(&self) -> bool {
        !lock(&self.changed).is_empty()
    }

    /// Whether there is nothing left to do.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// What came of it all.
    pub(super) fn outcome(self) -> Result<(), Trouble> {
        if let Some(error) = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(Trouble::Failed(error));
        }
        let changed = self.changed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if changed.is_empty() { Ok(()) } else { Err(Trouble::Changed(changed.into_iter().collect())) }
    }
}

/// Takes a lock whose holder leaves nothing half done, even when it panics.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some paths, for a message.
pub(super) fn show_paths(paths: &[TreePath]) -> String {
    let show = |path: &TreePath| if path.is_root() { "its root".to_owned() } else { path.to_string() };
    let mut shown: Vec<String> = paths.iter().take(3).map(show).collect();
    if paths.len() > shown.len() {
        shown.push(format!("{} more", paths.len() - shown.len()));
    }
    shown.join(", ")
}
