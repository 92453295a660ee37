//! How the client does: for the primary's view of the fleet, and for people who ask on the machine.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::ClientError;
use super::state::Client;
use crate::farm::{Farm, FarmError};
use crate::http::chain;
use crate::values::RepoName;
use crate::wire::api::{ClientReport, FailedCommit, GateStatus, RepoStatus, rfc3339};

/// The primary hears from a client at least this often.
const INTERVAL: Duration = Duration::from_secs(60);

impl Client {
    /// How each repo does now.
    pub(super) async fn report(&self) -> Result<ClientReport, ClientError> {
        let names: Vec<RepoName> = self.repos.keys().cloned().collect();
        let statuses = self
            .blocking(move |farm| {
                names.into_iter().map(|name| Ok((status(farm, &name)?, name))).collect::<Result<Vec<_>, FarmError>>()
            })
            .await?;
        let (version, scrub) = (env!("CARGO_PKG_VERSION").to_owned(), self.scrub.status());
        let mut report = ClientReport { version, scrub, ..ClientReport::default() };
        for (mut status, name) in statuses {
            status.failed_commit = self.failed_commits().get(&name).cloned();
            if let Some(repo) = self.repos.get(&name) {
                status.last_deploy = *repo.figures.lock().expect("no holder of this lock panics");
                status.progress = repo.progress.snapshot();
            }
            report.repos.insert(name, status);
        }
        report.gate = self.gate.as_ref().map(|gate| {
            let now = gate.now();
            GateStatus { held: now.held as u64, running: now.running as u64 }
        });
        Ok(report)
    }

    /// Tells the primary, and learns how its commits do.
    pub(super) async fn send_report(&self) -> Result<(), ClientError> {
        let mut report = self.report().await?;
        // What the primary said itself is no news to it.
        report.repos.values_mut().for_each(|status| status.failed_commit = None);
        let answer = self.remote.report(&self.name, &report).await?;
        *self.failed_commits() = answer.failed_commits;
        Ok(())
    }

    fn failed_commits(&self) -> MutexGuard<'_, BTreeMap<RepoName, FailedCommit>> {
        self.failed_commits.lock().expect("no holder of this lock panics")
    }
}

/// Reports whenever there is news, and once a minute. Runs until the client stops.
pub(super) async fn keep_reporting(client: Arc<Client>) {
    while !client.stop.is_cancelled() {
        if let Err(error) = client.send_report().await {
            tracing::debug!(error = chain(&error), "the primary did not take the report");
        }
        tokio::select! {
            () = client.stop.cancelled() => {}
            () = client.news.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn status(farm: &Farm, name: &RepoName) -> Result<RepoStatus, FarmError> {
    let (state, deployed) = (farm.state(name)?, farm.current(name)?);
    let commit = match &deployed {
        Some(id) => farm.index().commit(id)?,
        None => None,
    };
    let generations = farm.generations(name)?;
    let current = generations.iter().find(|generation| Some(generation.commit) == deployed);
    Ok(RepoStatus {
        deployed,
        sequence: commit.map(|commit| commit.sequence),
        deployed_at: current.filter(|current| current.deployed > 0).map(|current| rfc3339(current.deployed)),
        head: state.head,
        pinned: state.pinned,
        generations: generations.iter().map(|generation| generation.commit).collect(),
        unflushed: state.unflushed,
        error: state.error,
        ..RepoStatus::default()
    })
}
