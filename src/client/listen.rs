//! What a client answers over TCP: `/metrics`, health, and the two routes that tools written for PE's file sync client use.
//!
//! `POST /file-sync/v1/force-sync` syncs now and answers the status; `GET /status/v1/services` answers `file-sync-client-service` with
//! `{state, status: {repos}}`, each repo `{status: ok|error|new-commits, cause?, latest_commit, submodules}`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::ClientError;
use super::state::Client;
use crate::connections::{MOST_LOCAL, answer_all};
use crate::farm::{Farm, FarmError};
use crate::http::{Nothing, Query, Refusal, chain, finish_routes};
use crate::values::{Author, RepoName};
use crate::wire::api::{ClientReport, RepoStatus, rfc3339};

/// The media type of metrics.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Shared = State<Arc<Client>>;

/// Takes the port, or says who may have it.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, ClientError> {
    TcpListener::bind(address).await.map_err(|source| ClientError::Listen { address, source })
}

/// Answers until the client stops.
pub(super) async fn serve(client: Arc<Client>, listener: TcpListener) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/file-sync/v1/force-sync", post(force_sync))
        .route("/status/v1/services", get(services));
    if let Ok(address) = listener.local_addr() {
        tracing::info!("listening on {address}");
    }
    let stop = client.stop.clone();
    answer_all(listener, finish_routes(routes).with_state(client), MOST_LOCAL, stop).await;
}

async fn metrics(State(client): Shared, _: Query<Nothing>) -> Result<Response, Refusal> {
    let report = client.report().await?;
    let text = client.metrics.text(&report).map_err(|error| Refusal::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, METRICS)], text).into_response())
}

/// Ready as soon as there is something to serve in every repo.
async fn ready(State(client): Shared, _: Query<Nothing>) -> Result<&'static str, Refusal> {
    let report = client.report().await?;
    let waiting = report.repos.iter().filter(|(_, status)| status.deployed.is_none());
    let waiting: Vec<&str> = waiting.map(|(name, _)| name.as_str()).collect();
    match waiting.as_slice() {
        [] => Ok("ok\n"),
        names => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("nothing is deployed yet of {}", names.join(", ")),
        )),
    }
}

async fn force_sync(State(client): Shared, _: Query<Nothing>) -> Result<axum::Json<BTreeMap<String, PeRepo>>, Refusal> {
    let task = tokio::spawn(async move {
        for name in client.repos.keys() {
            // How each went stands in the status.
            if let Err(error) = client.sync_now(name).await {
                tracing::warn!(%name, error = chain(&error), "a forced sync failed");
            }
        }
        pe_repos(&client).await
    });
    Ok(axum::Json(task.await.map_err(ClientError::from)??))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    /// `critical`, `info` or `debug`; everything is told whatever it says.
    #[serde(default, rename = "level")]
    _level: Option<String>,
}

async fn services(State(client): Shared, _: Query<Detail>) -> Result<axum::Json<Services>, Refusal> {
    let repos = pe_repos(&client).await?;
    let state = if repos.values().any(|repo| repo.status == "error") { "error" } else { "running" };
    let service = Service {
        service_version: env!("CARGO_PKG_VERSION"),
        service_status_version: 1,
        detail_level: "debug",
        state,
        status: ServiceStatus { repos },
        active_alerts: [],
    };
    Ok(axum::Json(Services { client: service }))
}

#[derive(Serialize)]
struct Services {
    #[serde(rename = "file-sync-client-service")]
    client: Service,
}

#[derive(Serialize)]
struct Service {
    service_version: &'static str,
    service_status_version: u32,
    detail_level: &'static str,
    state: &'static str,
    status: ServiceStatus,
    active_alerts: [(); 0],
}

#[derive(Serialize)]
struct ServiceStatus {
    repos: BTreeMap<String, PeRepo>,
}

/// A repo as PE's tools read it.
#[derive(Serialize)]
struct PeRepo {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    latest_commit: Option<PeCommit>,
    submodules: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct PeCommit {
    commit: String,
    date: String,
    message: String,
    identity: Author,
}

async fn pe_repos(client: &Client) -> Result<BTreeMap<String, PeRepo>, ClientError> {
    let report: ClientReport = client.report().await?;
    client
        .blocking(move |farm| {
            let repos = report.repos.into_iter();
            repos
                .map(|(name, status)| Ok((name.to_string(), pe_repo(farm, &name, status)?)))
                .collect::<Result<_, FarmError>>()
        })
        .await
}

fn pe_repo(farm: &Farm, name: &RepoName, status: RepoStatus) -> Result<PeRepo, FarmError> {
    let behind = status.head.is_some() && status.head != status.deployed;
    let said = match (&status.error, behind) {
        (Some(_), _) => "error",
        (None, true) => "new-commits",
        (None, false) => "ok",
    };
    let mut repo = PeRepo { status: said, cause: status.error, latest_commit: None, submodules: BTreeMap::new() };
    let Some(id) = status.deployed else { return Ok(repo) };
    if let Some(commit) = farm.index().commit(&id)? {
        repo.latest_commit = Some(PeCommit {
            commit: id.to_string(),
            date: rfc3339(commit.time),
            message: commit.message.clone(),
            identity: commit.author.clone(),
        });
        repo.submodules = farm.environment_ids(name, &id)?;
    }
    Ok(repo)
}
