//! `status`, `sync`, `rollback`: what this machine's client runs.

use std::future::Future;

use jiff::Timestamp;

use super::args::{LocalArgs, RollbackArgs};
use super::error::CliError;
use super::interrupt;
use super::output;
use super::place::{Primary, is_abbreviation, one_of, only};
use super::progress;
use super::report::report;
use crate::progress::{Phase, Snapshot};
use crate::remote::{Remote, RemoteError};
use crate::values::{CommitId, RepoName};
use crate::wire::api::{ClientReport, PinRequest, PinTo, RepoStatus, SyncRequest};

pub(super) async fn status(args: &LocalArgs) -> Result<(), CliError> {
    let found = args.socket.connect()?.status().await?;
    let found = narrow(found, args.repo.as_ref())?;
    output::answer(args.json, &found, || report(&found, Timestamp::now()))
}

pub(super) async fn sync(args: &LocalArgs) -> Result<(), CliError> {
    let daemon = args.socket.connect()?;
    let request = SyncRequest { repo: args.repo.clone() };
    let done = with_progress(&daemon, daemon.sync(&request)).await?;
    conclude(&narrow(done, args.repo.as_ref())?, args.json)
}

pub(super) async fn rollback(args: &RollbackArgs) -> Result<(), CliError> {
    let daemon = args.socket.connect()?;
    let found = daemon.status().await?;
    let repo = match &args.at.repo {
        Some(repo) => repo.clone(),
        None => only(found.repos.keys().cloned().collect())?,
    };
    let found = narrow(found, Some(&repo))?;
    let to = match &args.commit {
        _ if args.release => PinTo::Released,
        None => PinTo::Previous,
        Some(text) => PinTo::Commit(resolve(args, text, &repo, &found).await?),
    };
    let request = PinRequest { repo: repo.clone(), to };
    let done = narrow(with_progress(&daemon, daemon.pin(&request)).await?, Some(&repo))?;
    // Whether it worked is told by the answer itself: that the primary is away, say, is shown, but fails no rollback.
    output::answer(args.at.server.json, &done, || report(&done, Timestamp::now()))
}

/// Prints how it went. A deploy that failed fails the command.
pub(super) fn conclude(done: &ClientReport, json: bool) -> Result<(), CliError> {
    output::answer(json, done, || report(done, Timestamp::now()))?;
    failure(done).map_or(Ok(()), Err)
}

fn failure(done: &ClientReport) -> Option<CliError> {
    let failed = |(repo, status): (&RepoName, &RepoStatus)| {
        let error = output::lines(status.error.as_ref()?);
        Some(CliError::Deploy { repo: repo.clone(), error })
    };
    done.repos.iter().find_map(failed)
}

async fn with_progress(
    daemon: &Remote,
    work: impl Future<Output = Result<ClientReport, RemoteError>>,
) -> Result<ClientReport, CliError> {
    let work = async { Ok(work.await?) };
    let work = interrupt::waiting(work, "the client goes on with it; `sceneshift status` shows how far it is");
    progress::watch(work, async || look(daemon).await).await
}

/// What a client's daemon does now, where it answers.
pub(super) async fn look(daemon: &Remote) -> Option<Snapshot> {
    busiest(&daemon.status().await.ok()?)
}

/// What the client is doing now: one repo is deployed after another.
fn busiest(report: &ClientReport) -> Option<Snapshot> {
    let snapshots = report.repos.values().map(|status| status.progress);
    snapshots.into_iter().find(|snapshot| snapshot.phase != Phase::Idle)
}

fn narrow(mut report: ClientReport, repo: Option<&RepoName>) -> Result<ClientReport, CliError> {
    if let Some(wanted) = repo {
        let known: Vec<RepoName> = report.repos.keys().cloned().collect();
        report.repos.retain(|name, _| name == wanted);
        if report.repos.is_empty() {
            return Err(CliError::UnknownRepo { wanted: wanted.clone(), known });
        }
    }
    Ok(report)
}

/// The commit that a text names. What this machine keeps can be named while the primary is away, which is when it matters.
async fn resolve(
    args: &RollbackArgs,
    text: &str,
    repo: &RepoName,
    report: &ClientReport,
) -> Result<CommitId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let here: Vec<CommitId> = report.repos.values().flat_map(commits_here).collect();
    let matching = here.into_iter().filter(|id| is_abbreviation(text) && id.to_string().starts_with(text)).collect();
    if let Some(id) = one_of(text, matching)? {
        return Ok(id);
    }
    let server = args.socket.server(args.at.server.server.as_deref())?;
    let primary = Primary::connect(server.as_deref(), Some(repo.clone())).await?;
    match primary.resolve(text).await {
        Err(CliError::Remote(RemoteError::Unreachable { .. })) => {
            Err(CliError::UnknownHere { text: text.to_owned(), repo: repo.clone() })
        }
        other => other,
    }
}

fn commits_here(status: &RepoStatus) -> impl Iterator<Item = CommitId> + '_ {
    status.generations.iter().copied().chain(status.deployed).chain(status.head).chain(status.pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(names: &[&str]) -> ClientReport {
        let repos = names.iter().map(|name| (name.parse().unwrap(), RepoStatus::default())).collect();
        ClientReport { version: "1".into(), repos, ..ClientReport::default() }
    }

    #[test]
    fn one_repo_can_be_asked_for_and_a_wrong_one_is_told_with_the_right_ones() {
        let wanted: RepoName = "b".parse().unwrap();
        assert_eq!(narrow(reported(&["a", "b"]), Some(&wanted)).unwrap(), reported(&["b"]));
        let error = narrow(reported(&["a", "c"]), Some(&wanted)).unwrap_err().to_string();
        assert!(error.contains("a, c"), "{error}");
    }

    #[test]
    fn a_failed_deploy_fails_the_command() {
        let mut done = reported(&["a", "b"]);
        assert!(failure(&done).is_none());
        done.repos.values_mut().last().unwrap().error = Some("no space left".into());
        assert_eq!(failure(&done).unwrap().to_string(), "b: no space left");
    }
}
