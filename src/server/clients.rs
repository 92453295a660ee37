//! The fleet: what each client reported last. Kept in memory for every question, in the store for the next start.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::access::Allowed;
use super::extract::ClientName;
use super::state::{Primary, Shared, lock};
use crate::http::{Json, Nothing, Query, Refusal};
use crate::store::{Store, StoreError};
use crate::values::{CommitId, RepoName};
use crate::wire::api::{ClientReport, Fleet, FleetMember, ReportAnswer, SEEN_LATELY_SECONDS, rfc3339};

/// A client that is silent for longer pins no commit: GC must not wait for machines that are gone. Milliseconds.
const FORGOTTEN: i64 = 7 * 24 * 3600 * 1000;

/// The clients that ever reported.
pub(super) struct Clients(Mutex<BTreeMap<String, Seen>>);

/// A client's last report as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Seen {
    /// When it came, in milliseconds since 1970.
    seen: i64,
    report: ClientReport,
}

impl Seen {
    fn age(&self, now: i64) -> i64 {
        now.saturating_sub(self.seen).max(0)
    }

    fn lately(&self, now: i64) -> bool {
        self.age(now).unsigned_abs() <= SEEN_LATELY_SECONDS * 1000
    }
}

impl Clients {
    /// Those that the store knows. A record that cannot be read is left out: the client reports again.
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        let mut clients = BTreeMap::new();
        for (name, json) in store.clients()? {
            match serde_json::from_slice(&json) {
                Ok(seen) => drop(clients.insert(name, seen)),
                Err(error) => tracing::warn!(client = name, %error, "a client's stored report cannot be read"),
            }
        }
        Ok(Self(Mutex::new(clients)))
    }

    /// Notes a report, here and in the store.
    fn note(&self, store: &Store, name: String, report: ClientReport) -> Result<(), Refusal> {
        let seen = Seen { seen: now(), report };
        let json = serde_json::to_vec(&seen).map_err(|error| Refusal::internal(&error))?;
        store.put_client(&name, &json)?;
        lock(&self.0).insert(name, seen);
        Ok(())
    }

    /// Everybody, by name.
    pub(super) fn members(&self) -> Vec<FleetMember> {
        let now = now();
        let member = |(name, seen): (&String, &Seen)| FleetMember {
            name: name.clone(),
            seen: rfc3339(seen.seen),
            seen_seconds_ago: seen.age(now).unsigned_abs() / 1000,
            report: seen.report.clone(),
        };
        lock(&self.0).iter().map(member).collect()
    }

    /// How many reported lately.
    pub(super) fn seen_lately(&self) -> usize {
        let now = now();
        lock(&self.0).values().filter(|seen| seen.lately(now)).count()
    }

    /// How many reported lately that they have this repo, but not deployed its head.
    pub(super) fn behind(&self, repo: &RepoName, head: Option<CommitId>) -> usize {
        let now = now();
        let is_behind = |seen: &&Seen| seen.report.repos.get(repo).is_some_and(|status| status.deployed != head);
        lock(&self.0).values().filter(|seen| seen.lately(now)).filter(is_behind).count()
    }

    /// Every commit that a client has, is pinned to, or is on its way to, unless it has been silent for too long.
    pub(super) fn commits_in_use(&self) -> Vec<CommitId> {
        let now = now();
        let clients = lock(&self.0);
        let alive = clients.values().filter(|seen| seen.age(now) <= FORGOTTEN);
        let statuses = alive.flat_map(|seen| seen.report.repos.values());
        let commits = statuses.flat_map(|status| {
            let single = [status.deployed, status.pinned, status.head].into_iter().flatten();
            single.chain(status.generations.iter().copied())
        });
        commits.collect()
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// `POST /v1/clients/{name}`.
pub(super) async fn report(
    State(primary): State<Shared>,
    ClientName(name): ClientName,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
    Json(report): Json<ClientReport>,
) -> Result<axum::Json<ReportAnswer>, Refusal> {
    primary.blocking(move |primary: &Primary| primary.clients.note(&primary.store, name, report)).await?;
    let mut failed_commits = primary.failed_commits();
    rights.narrow_failed(&mut failed_commits);
    Ok(axum::Json(ReportAnswer { failed_commits }))
}

/// `GET /v1/clients`: what concerns repos that the caller may read.
pub(super) async fn list(
    State(primary): State<Shared>,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
) -> axum::Json<Fleet> {
    let (clients, failed_commits) = (primary.clients.members(), primary.failed_commits());
    let mut fleet = Fleet { clients, failed_commits, scrub: primary.scrub.status() };
    rights.narrow_fleet(&mut fleet);
    axum::Json(fleet)
}
