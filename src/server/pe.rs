//! The two routes that scripts and tools written for Puppet Enterprise's file sync use on a primary.
//!
//! `POST /file-sync/v1/commit` takes `commit-all`, or `repo-id` with or without `submodule-id` (one environment), besides `message` and
//! `author`, and answers for each repo `{commit, date, message, identity: {name, email}, submodules}`.
//! `GET /status/v1/services` answers `file-sync-storage-service`, with `status.repos` and `status.clients` at `level=debug`; a repo there
//! has `{status: ok|error|new-commits, cause?, latest_commit, submodules}`.
//!
//! Errors are problem documents as everywhere. A submodule's commit is its environment's tree id: it changes exactly with the
//! environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::access::{Allowed, Rights};
use super::commits;
use super::environments;
use super::resolve::named_tree;
use super::state::{Primary, RepoState, Shared};
use crate::http::{Json, Nothing, Query, Refusal};
use crate::store::{ReadStore, StoreError};
use crate::values::{Author, Commit, CommitId};
use crate::wire::api::{CommitRequest, FleetMember, RepoStatus, rfc3339};

/// What `POST /file-sync/v1/commit` takes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PeCommit {
    #[serde(default)]
    commit_all: bool,
    repo_id: Option<String>,
    submodule_id: Option<String>,
    message: Option<String>,
    author: Option<Author>,
}

/// A commit as those tools read it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PeCommitInfo {
    commit: String,
    date: String,
    message: String,
    identity: Author,
}

/// What was committed of one repo.
#[derive(Debug, Serialize)]
pub(super) struct PeCommitted {
    #[serde(flatten)]
    commit: PeCommitInfo,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    submodules: BTreeMap<String, String>,
}

/// `POST /file-sync/v1/commit`.
pub(super) async fn commit(
    State(primary): State<Shared>,
    Allowed(rights): Allowed,
    _: Query<Nothing>,
    Json(request): Json<PeCommit>,
) -> Result<axum::Json<BTreeMap<String, PeCommitted>>, Refusal> {
    let repos = repos_of(&primary, &rights, &request)?;
    let wanted = CommitRequest {
        message: request.message,
        author: request.author,
        environments: request.submodule_id.into_iter().collect(),
        ..CommitRequest::default()
    };
    let mut committed = BTreeMap::new();
    for repo in repos {
        let answer = commits::commit(&primary, Arc::clone(&repo), wanted.clone()).await;
        let id = answer.map_err(|refusal| refusal.saying(|detail| with_committed(detail, committed.keys())))?.commit;
        let job = move |primary: &Primary| Ok(committed_as(&*primary.store, &id)?);
        if let Some(shown) = primary.blocking(job).await? {
            committed.insert(repo.name().to_string(), shown);
        }
    }
    Ok(axum::Json(committed))
}

/// What is wrong with one of several repos, and which were committed before it.
fn with_committed<'a>(detail: String, committed: impl Iterator<Item = &'a String>) -> String {
    let committed: Vec<&str> = committed.map(String::as_str).collect();
    if committed.is_empty() { detail } else { format!("{detail} (committed before that: {})", committed.join(", ")) }
}

/// `commit-all` is all that the caller may commit.
fn repos_of(primary: &Primary, rights: &Rights, request: &PeCommit) -> Result<Vec<Arc<RepoState>>, Refusal> {
    match (request.commit_all, &request.repo_id, &request.submodule_id) {
        (true, None, None) => {
            Ok(primary.repos.values().filter(|repo| rights.may_commit(repo.name())).cloned().collect())
        }
        (true, _, _) => Err(Refusal::bad_request("commit-all excludes repo-id and submodule-id")),
        (false, Some(name), _) => {
            let repo = primary.repo(name, rights)?;
            rights.check_commit(repo.name())?;
            Ok(vec![repo])
        }
        (false, None, Some(_)) => Err(Refusal::bad_request("submodule-id needs repo-id")),
        (false, None, None) => Err(Refusal::bad_request("say what to commit: \"commit-all\": true, or a repo-id")),
    }
}

fn committed_as(store: &impl ReadStore, id: &CommitId) -> Result<Option<PeCommitted>, StoreError> {
    let Some(commit) = store.commit(id)? else { return Ok(None) };
    let submodules = submodules(store, &commit)?;
    Ok(Some(PeCommitted { commit: PeCommitInfo::of(id, &commit), submodules }))
}

/// The environments of a commit and the ids of their trees.
fn submodules(store: &impl ReadStore, commit: &Commit) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(directory) = environments::directory(store, commit)? else { return Ok(BTreeMap::new()) };
    let tree = named_tree(store, &directory)?;
    Ok(environments::in_directory(&tree).map(|(name, id)| (name, id.to_string())).collect())
}

impl PeCommitInfo {
    fn of(id: &CommitId, commit: &Commit) -> Self {
        Self {
            commit: id.to_string(),
            date: rfc3339(commit.time),
            message: commit.message.clone(),
            identity: commit.author.clone(),
        }
    }
}

/// How much `GET /status/v1/services` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// Only the state.
    Critical,
    /// The same, for us.
    #[default]
    Info,
    /// Repos and clients too.
    Debug,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Detail {
    #[serde(default)]
    level: Level,
}

#[derive(Debug, Serialize)]
pub(super) struct Services {
    #[serde(rename = "file-sync-storage-service")]
    storage: Service,
}

#[derive(Debug, Serialize)]
struct Service {
    service_version: &'static str,
    service_status_version: u32,
    detail_level: &'static str,
    state: &'static str,
    status: Option<StorageStatus>,
    active_alerts: [(); 0],
}

#[derive(Debug, Serialize)]
struct StorageStatus {
    timestamp: String,
    repos: BTreeMap<String, PeRepo>,
    clients: BTreeMap<String, PeClient>,
}

#[derive(Debug, Serialize)]
struct PeRepo {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    latest_commit: Option<PeCommitInfo>,
    submodules: BTreeMap<String, PeSubmodule>,
}

#[derive(Debug, Serialize)]
struct PeSubmodule {
    status: &'static str,
    latest_commit: PeCommitInfo,
}

#[derive(Debug, Serialize)]
struct PeClient {
    last_check_in_time: String,
    repos: BTreeMap<String, PeRepo>,
}

/// `GET /status/v1/services?level=critical|info|debug`.
pub(super) async fn services(
    State(primary): State<Shared>,
    Allowed(rights): Allowed,
    Query(detail): Query<Detail>,
) -> Result<axum::Json<Services>, Refusal> {
    let (detail_level, status) = match detail.level {
        Level::Critical => ("critical", None),
        Level::Info => ("info", None),
        Level::Debug => ("debug", Some(primary.blocking(move |primary| Ok(storage_status(primary, &rights)?)).await?)),
    };
    Ok(axum::Json(Services {
        storage: Service {
            service_version: env!("CARGO_PKG_VERSION"),
            service_status_version: 1,
            detail_level,
            state: "running",
            status,
            active_alerts: [],
        },
    }))
}

/// Of the repos whose commits the caller may see, and of the clients that have one of them.
fn storage_status(primary: &Primary, rights: &Rights) -> Result<StorageStatus, StoreError> {
    let mut repos = BTreeMap::new();
    for (name, repo) in primary.repos.iter().filter(|(name, _)| rights.may_see(name)) {
        let (word, cause) = repo.failure.get().map_or(("ok", None), |failed| ("error", Some(failed.error)));
        repos.insert(name.to_string(), pe_repo(&*primary.store, word, cause, repo.head_id())?);
    }
    let mut clients = BTreeMap::new();
    for client in primary.clients.members() {
        if client.report.repos.is_empty() || client.report.repos.keys().any(|name| rights.may_see(name)) {
            clients.insert(client.name.clone(), pe_client(primary, rights, &client)?);
        }
    }
    Ok(StorageStatus { timestamp: jiff::Timestamp::now().to_string(), repos, clients })
}

fn pe_client(primary: &Primary, rights: &Rights, client: &FleetMember) -> Result<PeClient, StoreError> {
    let mut repos = BTreeMap::new();
    for (name, status) in &client.report.repos {
        let Some(repo) = primary.repos.get(name).filter(|_| rights.may_see(name)) else { continue };
        let (word, cause) = standing(repo, status);
        repos.insert(name.to_string(), pe_repo(&*primary.store, word, cause, status.deployed)?);
    }
    Ok(PeClient { last_check_in_time: client.seen.clone(), repos })
}

/// How a client does with a repo, in those tools' words.
fn standing(repo: &RepoState, status: &RepoStatus) -> (&'static str, Option<String>) {
    match &status.error {
        Some(error) => ("error", Some(error.clone())),
        None if status.deployed == repo.head_id() => ("ok", None),
        None => ("new-commits", None),
    }
}

fn pe_repo(
    store: &impl ReadStore,
    status: &'static str,
    cause: Option<String>,
    id: Option<CommitId>,
) -> Result<PeRepo, StoreError> {
    let commit = match id {
        Some(id) => store.commit(&id)?.map(|commit| (id, commit)),
        None => None,
    };
    let Some((id, commit)) = commit else {
        return Ok(PeRepo { status, cause, latest_commit: None, submodules: BTreeMap::new() });
    };
    let info = PeCommitInfo::of(&id, &commit);
    let submodule = |(name, tree): (String, String)| {
        (name, PeSubmodule { status, latest_commit: PeCommitInfo { commit: tree, ..info.clone() } })
    };
    let submodules = submodules(store, &commit)?.into_iter().map(submodule).collect();
    Ok(PeRepo { status, cause, latest_commit: Some(info), submodules })
}
