//! Committing, rolling back, the history, and the progress of a commit under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::access::Allowed;
use super::extract::Repo;
use super::metrics::CommitResult;
use super::resolve::resolve;
use super::state::{Primary, RepoState, Shared};
use crate::http::{Item, Json, Nothing, Query, Refusal, chain};
use crate::ingest::{self, IngestError};
use crate::progress::{Phase, Snapshot};
use crate::store::{ReadStore, StoreError};
use crate::telling::telling;
use crate::values::CommitId;
use crate::wire::api::{CommitAnswer, CommitInfo, CommitRequest, History, RepoInfo, Repos, RollbackRequest};

/// How many commits a part of the history has unless told, and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 1000;

/// `GET /v1/repos`: those that the caller may read.
pub(super) async fn repos(
    State(primary): State<Shared>,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
) -> axum::Json<Repos> {
    let info = |repo: &Arc<RepoState>| RepoInfo {
        repo: repo.name().clone(),
        head: repo.head.borrow().as_ref().map(|head| CommitInfo::clone(head)),
        failed_commit: repo.failure.get(),
    };
    let readable = primary.repos.values().filter(|repo| rights.may_read(repo.name()));
    axum::Json(Repos { repos: readable.map(info).collect() })
}

/// `POST /v1/repos/{repo}/commits`: 201 where a commit was created, 200 where nothing had changed.
pub(super) async fn create(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
    Json(request): Json<CommitRequest>,
) -> Result<Response, Refusal> {
    commit(&primary, repo, request).await.map(answer)
}

/// `POST /v1/repos/{repo}/rollback`: likewise.
pub(super) async fn roll_back(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
    Json(request): Json<RollbackRequest>,
) -> Result<Response, Refusal> {
    let answered =
        under_turn(&primary, repo, move |primary, repo| ingest::rollback(&primary.store, repo.name(), &request))
            .await?;
    Ok(answer(answered))
}

fn answer(commit: CommitAnswer) -> Response {
    let status = if commit.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/repos/{}/commits/{}", commit.repo, commit.commit);
    (status, [(header::LOCATION, location)], axum::Json(commit)).into_response()
}

/// Commits what stands in staging. Once begun it goes on, also where the caller is gone.
pub(super) async fn commit(
    primary: &Shared,
    repo: Arc<RepoState>,
    request: CommitRequest,
) -> Result<CommitAnswer, Refusal> {
    under_turn(primary, repo, move |primary, repo| {
        let result = ingest::commit(&primary.store, &repo.source, &request, &repo.progress);
        repo.failure.note(&primary.store, repo.name(), &request, &result);
        result
    })
    .await
}

async fn under_turn(
    primary: &Shared,
    repo: Arc<RepoState>,
    work: impl FnOnce(&Primary, &RepoState) -> Result<CommitAnswer, IngestError> + Send + 'static,
) -> Result<CommitAnswer, Refusal> {
    let turn = repo.turn().await;
    let (progress, name) = (Arc::clone(&repo.progress), repo.name().clone());
    let job = move |primary: &Primary| {
        let _turn = turn;
        let result = work(primary, &repo);
        repo.progress.begin(Phase::Idle, 0, 0);
        note(primary, &repo, &result);
        let announced = primary.announce(&repo);
        let answer = result?;
        announced?;
        Ok(answer)
    };
    let worker = Arc::clone(primary);
    // The log is told of it also where the caller is gone.
    let task = primary.jobs.spawn(async move { telling(Some(&name), &progress, worker.blocking(job)).await });
    task.await.unwrap_or_else(|error| Err(Refusal::internal(&error)))
}

fn note(primary: &Primary, repo: &RepoState, result: &Result<CommitAnswer, IngestError>) {
    let name = repo.name();
    match result {
        Ok(answer) => {
            let kind = if answer.created { CommitResult::Created } else { CommitResult::Unchanged };
            primary.metrics.count_commit(name, kind, Some(answer.seconds));
            tracing::info!(
                repo = %name,
                commit = %answer.commit.short(),
                sequence = answer.sequence,
                created = answer.created,
                added = answer.changes.added,
                modified = answer.changes.modified,
                removed = answer.changes.removed,
                seconds = answer.seconds,
                "commit"
            );
        }
        Err(error) => {
            primary.metrics.count_commit(name, CommitResult::Refused, None);
            tracing::info!(repo = %name, error = chain(error), "commit refused");
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    limit: Option<usize>,
    before: Option<String>,
}

/// `GET /v1/repos/{repo}/commits`: newest first, beginning after `before`.
pub(super) async fn history(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Query(part): Query<Part>,
) -> Result<axum::Json<History>, Refusal> {
    let limit = part.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Refusal::bad_request(format!("limit={limit}: 1 to {LARGEST_PAGE} are allowed")));
    }
    let job = move |primary: &Primary| {
        let from = match part.before {
            Some(before) => resolve(&primary.store, &repo, &before)?.1.parent,
            None => primary.store.head(repo.name())?,
        };
        let (commits, next) = match from {
            Some(from) => primary.store.history(from, limit)?,
            None => (Vec::new(), None),
        };
        let next = next.and_then(|_| commits.last().map(|(id, _)| *id));
        let mut tags = tags_by_commit(primary, &repo)?;
        let info = |(id, commit)| CommitInfo::of(id, &commit, tags.remove(&id).unwrap_or_default());
        Ok(History { commits: commits.into_iter().map(info).collect(), next })
    };
    primary.blocking(job).await.map(axum::Json)
}

/// `GET /v1/repos/{repo}/commits/{id}`.
pub(super) async fn show(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Item(text): Item,
    _: Query<Nothing>,
) -> Result<axum::Json<CommitInfo>, Refusal> {
    let job = move |primary: &Primary| info(primary, &repo, &text);
    primary.blocking(job).await.map(axum::Json)
}

/// The commit that `text` means, with its tags. Blocking.
pub(super) fn info(primary: &Primary, repo: &RepoState, text: &str) -> Result<CommitInfo, Refusal> {
    let (id, commit) = resolve(&primary.store, repo, text)?;
    let tags = tags_by_commit(primary, repo)?.remove(&id).unwrap_or_default();
    Ok(CommitInfo::of(id, &commit, tags))
}

/// `GET /v1/repos/{repo}/progress`: how far the commit under way is; where there is none, how far GC is.
pub(super) async fn progress(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
) -> axum::Json<Snapshot> {
    let commit = repo.progress.snapshot();
    axum::Json(if commit.phase == Phase::Idle { primary.gc.snapshot() } else { commit })
}

fn tags_by_commit(primary: &Primary, repo: &RepoState) -> Result<BTreeMap<CommitId, Vec<String>>, StoreError> {
    let mut tags: BTreeMap<CommitId, Vec<String>> = BTreeMap::new();
    for (tag, id) in primary.store.tags(repo.name())? {
        tags.entry(id).or_default().push(tag.to_string());
    }
    Ok(tags)
}
