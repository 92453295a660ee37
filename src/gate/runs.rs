//! Agents' runs: from the metadata of all plugins to the catalog's answer. Between the two an agent has the plugins of one version, and must get the
//! manifests of the same.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::pause::Scope;

/// How long a run survives its connection. Agents close theirs after 4 s of idleness, which collecting facts may take, and open another at once.
const GRACE: Duration = Duration::from_secs(2);

/// The runs under way, by certname.
#[derive(Debug, Default)]
pub(super) struct Runs(HashMap<String, Run>);

#[derive(Debug)]
struct Run {
    scope: Scope,
    connection: u64,
    /// When its connection went.
    left: Option<Instant>,
}

impl Runs {
    /// A run has begun, or begun anew.
    pub(super) fn begin(&mut self, certname: &str, scope: Scope, connection: u64) {
        self.0.insert(certname.to_owned(), Run { scope, connection, left: None });
    }

    /// A request of this agent passes: where a run is under way, it is on this connection now.
    pub(super) fn seen(&mut self, certname: &str, connection: u64) {
        if let Some(run) = self.0.get_mut(certname).filter(|run| run.lasts(Instant::now())) {
            run.connection = connection;
            run.left = None;
        }
    }

    /// Whether a run of this agent is under way.
    pub(super) fn has(&self, certname: &str) -> bool {
        self.0.get(certname).is_some_and(|run| run.lasts(Instant::now()))
    }

    /// Its catalog was answered.
    pub(super) fn end(&mut self, certname: &str) {
        self.0.remove(certname);
    }

    /// A connection has gone.
    pub(super) fn left(&mut self, connection: u64) {
        let now = Instant::now();
        self.0.retain(|_, run| run.lasts(now));
        for run in self.0.values_mut().filter(|run| run.connection == connection) {
            run.left.get_or_insert(now);
        }
    }

    /// How many runs that read `scope` are under way, and when to look again, should nobody say that one has ended.
    pub(super) fn under_way(&self, scope: &Scope) -> (usize, Option<Instant>) {
        let now = Instant::now();
        let concerned = self.0.values().filter(|run| run.lasts(now) && run.scope.overlaps(scope));
        let (mut count, mut next) = (0, None::<Instant>);
        for run in concerned {
            count += 1;
            if let Some(left) = run.left {
                next = Some(next.map_or(left + GRACE, |next| next.min(left + GRACE)));
            }
        }
        (count, next)
    }
}

impl Run {
    fn lasts(&self, now: Instant) -> bool {
        self.left.is_none_or(|left| now < left + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_over_is_not_brought_back_by_a_later_request() {
        let mut runs = Runs::default();
        runs.begin("node1", Scope::Everything, 1);
        runs.left(1);
        assert!(runs.has("node1"), "it may connect anew");
        runs.seen("node1", 2);
        runs.left(2);
        if let Some(run) = runs.0.get_mut("node1") {
            run.left = Some(Instant::now() - GRACE);
        }
        runs.seen("node1", 3);
        assert!(!runs.has("node1"));
        assert_eq!(runs.under_way(&Scope::Everything), (0, None));
    }
}
