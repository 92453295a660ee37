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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Long enough to see somebody go on who should wait; who waits rightly is never hurt by it.
    const MOMENT: Duration = Duration::from_millis(100);

    fn wait_until_sweeping(gate: &Gate) {
        while gate.lock().gc != Gc::Sweeping {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_sweep_waits_for_the_commit_under_way_and_the_next_commit_for_the_sweep() {
        let gate = Gate::default();
        let (repo, other): (RepoName, RepoName) = ("code".parse().unwrap(), "other".parse().unwrap());
        let commit = gate.commit(&repo);
        std::thread::scope(|scope| {
            let (swept, sweeping) = mpsc::channel();
            let (finish, finishing) = mpsc::channel::<()>();
            let gate = &gate;
            scope.spawn(move || {
                let turn = gate.collect().unwrap();
                let sweep = turn.sweep().unwrap();
                // An error means that the test has failed, and nobody listens any more.
                let _ = swept.send(());
                let _ = finishing.recv();
                drop(sweep);
            });
            wait_until_sweeping(gate);
            let (began, begins) = mpsc::channel();
            scope.spawn(move || {
                drop(gate.commit(&other));
                let _ = began.send(());
            });
            assert!(sweeping.recv_timeout(MOMENT).is_err(), "it removes under a commit");
            assert!(begins.try_recv().is_err(), "commits that keep coming would keep the sweep away");
            drop(commit);
            sweeping.recv().unwrap();
            assert!(begins.recv_timeout(MOMENT).is_err(), "a commit begins beside a sweep");
            finish.send(()).unwrap();
            begins.recv().unwrap();
        });
    }

    #[test]
    fn a_hold_waits_for_a_sweep_that_has_begun() {
        let gate = Gate::default();
        let turn = gate.collect().unwrap();
        let sweep = turn.sweep().unwrap();
        std::thread::scope(|scope| {
            let (held, holds) = mpsc::channel();
            let gate = &gate;
            scope.spawn(move || {
                gate.hold();
                held.send(()).unwrap();
            });
            assert!(holds.recv_timeout(MOMENT).is_err());
            drop(sweep);
            holds.recv().unwrap();
        });
        assert!(turn.sweep().is_none(), "the hold is there now");
    }
}
