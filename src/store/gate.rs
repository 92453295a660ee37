//! Who waits for whom: commits, holds and GC.
//!
//! Commits of one repo go one after the other; of different repos, side by side. GC looks around beside them, and waits until none is
//! under way only for the moment in which it removes; commits that begin meanwhile wait for it. A hold makes GC give up.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::values::RepoName;

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    committing: BTreeSet<RepoName>,
    holds: usize,
    gc: Gc,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Gc {
    #[default]
    Absent,
    Looking,
    /// Waiting for commits to end, or removing: no new commit begins.
    Sweeping,
}

impl Gate {
    /// Every change of the state is one step, so that a panic elsewhere cannot leave it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.lock(), condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    pub(super) fn commit(&self, repo: &RepoName) -> CommitTurn<'_> {
        let mut state = self.wait_while(|state| state.gc == Gc::Sweeping || state.committing.contains(repo));
        state.committing.insert(repo.clone());
        CommitTurn { gate: self, repo: repo.clone() }
    }

    pub(super) fn hold(&self) {
        self.wait_while(|state| state.gc == Gc::Sweeping).holds += 1;
    }

    pub(super) fn release(&self) {
        self.change(|state| state.holds -= 1);
    }

    /// Begins a GC, unless one runs or is held off.
    pub(super) fn collect(&self) -> Option<GcTurn<'_>> {
        let mut state = self.lock();
        if state.gc != Gc::Absent || state.holds > 0 {
            return None;
        }
        state.gc = Gc::Looking;
        Some(GcTurn { gate: self })
    }
}

/// While it lives, its repo's next commit waits, and so does a sweep.
#[derive(Debug)]
pub(super) struct CommitTurn<'a> {
    gate: &'a Gate,
    repo: RepoName,
}

impl CommitTurn<'_> {
    pub(super) fn repo(&self) -> &RepoName {
        &self.repo
    }
}

impl Drop for CommitTurn<'_> {
    fn drop(&mut self) {
        self.gate.change(|state| {
            state.committing.remove(&self.repo);
        });
    }
}

/// While it lives, no other GC begins.
#[derive(Debug)]
pub(super) struct GcTurn<'a> {
    gate: &'a Gate,
}

impl<'a> GcTurn<'a> {
    /// Waits until no commit is under way; none begins until the answer is dropped. `None` where GC is held off by now.
    pub(super) fn sweep(&self) -> Option<SweepTurn<'a>> {
        let mut state = self.gate.lock();
        if state.holds > 0 {
            return None;
        }
        state.gc = Gc::Sweeping;
        drop(state);
        let turn = SweepTurn { gate: self.gate };
        drop(self.gate.wait_while(|state| !state.committing.is_empty()));
        Some(turn)
    }
}

impl Drop for GcTurn<'_> {
    fn drop(&mut self) {
        self.gate.change(|state| state.gc = Gc::Absent);
    }
}

/// While it lives, no commit is under way.
#[derive(Debug)]
pub(super) struct SweepTurn<'a> {
    gate: &'a Gate,
}

impl Drop for SweepTurn<'_> {
    fn drop(&mut self) {
        self.gate.change(|state| state.gc = Gc::Looking);
    }
}
