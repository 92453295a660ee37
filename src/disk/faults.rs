//! Tests and fuzzing only: calls that fail, as on a disk that breaks or fills up.
//!
//! Counted are the calls that change a data directory, and the writes to its database. Deliberately absent: reads that fail, which change
//! nothing; what RocksDB does to its files by itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::DiskError;

/// Which calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None: they are only counted.
    None,
    /// The one with this number; the first is 0.
    Once(u64),
    /// The one with this number, and all after it.
    From(u64),
}

#[derive(Debug)]
struct Plan {
    root: PathBuf,
    fault: Fault,
    errno: Errno,
    calls: u64,
    failed: u64,
}

static PLANS: Mutex<Vec<Arc<Mutex<Plan>>>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Faults in one data directory, until this goes.
#[derive(Debug)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// Makes calls below `root` fail with `errno`, on any thread.
    pub fn at(root: &Path, fault: Fault, errno: Errno) -> Self {
        let plan = Arc::new(Mutex::new(Plan { root: root.to_owned(), fault, errno, calls: 0, failed: 0 }));
        locked(&PLANS).push(Arc::clone(&plan));
        Self(plan)
    }

    /// How many calls there were so far.
    pub fn calls(&self) -> u64 {
        locked(&self.0).calls
    }

    /// How many of them failed.
    pub fn failed(&self) -> u64 {
        locked(&self.0).failed
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        locked(&PLANS).retain(|plan| !Arc::ptr_eq(plan, &self.0));
    }
}

/// Answers whether a call at `path` may be made.
pub(crate) fn allow(path: &Path) -> Result<(), DiskError> {
    for plan in locked(&PLANS).iter() {
        let mut plan = locked(plan);
        if !path.starts_with(&plan.root) {
            continue;
        }
        let number = plan.calls;
        plan.calls += 1;
        let fails = match plan.fault {
            Fault::None => false,
            Fault::Once(at) => number == at,
            Fault::From(at) => number >= at,
        };
        if fails {
            plan.failed += 1;
            return Err(DiskError::new("change (as a test wants it)", path, plan.errno));
        }
    }
    Ok(())
}
