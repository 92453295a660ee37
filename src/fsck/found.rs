//! What was found, and what a running daemon explains.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::disk::{Dir, DiskError, Stat};
use crate::findings::Finding;

/// Collects findings, from any thread.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<BTreeSet<Finding>>);

impl Found {
    pub(super) fn add(&self, finding: impl Into<Finding>) {
        // Whoever panicked left a set that is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(finding.into());
    }

    pub(super) fn into_sorted(self) -> Vec<Finding> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
    }
}

/// Since when a daemon may have added things that the check's copy of the database does not know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    /// No daemon runs.
    Ever,
    /// This time, in nanoseconds since 1970.
    Time(i64),
}

impl Since {
    /// Since this copy of the database was made.
    pub(super) fn of_checkpoint(path: &Path) -> Result<Self, DiskError> {
        Ok(Since::Time(Dir::open(path)?.stat_self()?.ctime))
    }

    /// Whether a daemon runs at all.
    pub(super) fn is_live(self) -> bool {
        matches!(self, Since::Time(_))
    }

    /// Whether this came, or was changed, since then.
    pub(super) fn explains(self, stat: &Stat) -> bool {
        matches!(self, Since::Time(time) if stat.ctime >= time)
    }
}
