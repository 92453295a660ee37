//! `control.sock`: what the command line of this machine asks.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::UnixListener;

use super::ClientError;
use super::hold::Hold;
use super::state::Client;
use crate::connections::{MOST_LOCAL, answer_all};
use crate::datadir::CONTROL_SOCKET;
use crate::findings::{ClientFinding, Outcome};
use crate::http::{Json, Nothing, Query, Refusal, chain, finish_routes, hold_answer, only_owner};
use crate::progress::Snapshot;
use crate::remote::RemoteError;
use crate::wire::api::{ClientReport, FsckHold, PinRequest, SyncRequest};

/// The largest list of findings, in bytes: as much as is taken of any document in JSON.
const FINDINGS: usize = 64 << 20;

type Shared = State<Arc<Client>>;

/// Answers until the client stops.
pub(super) async fn serve(client: Arc<Client>, listener: UnixListener) {
    let routes = Router::new()
        .route("/status", get(status))
        .route("/sync", post(sync))
        .route("/rollback", post(rollback))
        .route("/fsck", post(fsck))
        .route("/repair", get(repair_progress).post(repair).layer(DefaultBodyLimit::max(FINDINGS)))
        .layer(from_fn(only_owner));
    let routes = finish_routes(routes).with_state(Arc::clone(&client));
    answer_all(listener, routes, MOST_LOCAL, client.stop.clone()).await;
    // A socket that nobody answers would only make the next command wait.
    let _ = client.farm.data().dir.remove_file(CONTROL_SOCKET);
}

async fn status(State(client): Shared, _: Query<Nothing>) -> Result<axum::Json<ClientReport>, Refusal> {
    Ok(axum::Json(client.report().await?))
}

/// Syncs, deploys, and answers when it is done. A caller that hangs up does not stop it.
async fn sync(
    State(client): Shared,
    _: Query<Nothing>,
    Json(request): Json<SyncRequest>,
) -> Result<axum::Json<ClientReport>, Refusal> {
    let names = match request.repo {
        Some(name) => vec![name],
        None => client.repos.keys().cloned().collect(),
    };
    let worker = Arc::clone(&client);
    finish(client, async move {
        for name in &names {
            worker.sync_now(name).await?;
        }
        Ok(())
    })
    .await
}

async fn rollback(
    State(client): Shared,
    _: Query<Nothing>,
    Json(request): Json<PinRequest>,
) -> Result<axum::Json<ClientReport>, Refusal> {
    let worker = Arc::clone(&client);
    finish(client, async move { worker.pin(&request.repo, request.to).await }).await
}

/// Does the work to its end, whether the caller waits or not, and answers with how the client does then.
async fn finish(
    client: Arc<Client>,
    work: impl Future<Output = Result<(), ClientError>> + Send + 'static,
) -> Result<axum::Json<ClientReport>, Refusal> {
    let task = tokio::spawn(async move {
        work.await?;
        client.report().await
    });
    let report = task.await.map_err(ClientError::from)??;
    Ok(axum::Json(report))
}

/// A copy of the index for fsck to open; pruning waits until the caller closes the connection.
async fn fsck(State(client): Shared, _: Query<Nothing>) -> Result<Response, Refusal> {
    let hold = Hold::begin(&client).await?;
    let checkpoint = hold.checkpoint();
    tracing::info!(checkpoint = %checkpoint.display(), "fsck begins to read");
    hold_answer(&FsckHold { checkpoint }, hold, client.stop.clone())
}

/// Repairs what fsck found. A caller that hangs up does not stop it.
async fn repair(
    State(client): Shared,
    _: Query<Nothing>,
    Json(findings): Json<Vec<ClientFinding>>,
) -> Result<axum::Json<Vec<Outcome>>, Refusal> {
    let task = tokio::spawn(async move { client.repair(findings).await });
    Ok(axum::Json(task.await.map_err(ClientError::from)??))
}

/// How far that is.
async fn repair_progress(State(client): Shared, _: Query<Nothing>) -> axum::Json<Snapshot> {
    axum::Json(client.repair_progress.snapshot())
}

impl From<ClientError> for Refusal {
    /// The caller sits at this machine and may know everything; the status says whose turn it is.
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::UnknownRepo { .. } => StatusCode::NOT_FOUND,
            ClientError::NothingBefore(_) | ClientError::NoCommit(_) | ClientError::OtherRepo { .. } => {
                StatusCode::CONFLICT
            }
            ClientError::Remote(RemoteError::Problem { status, .. }) => {
                StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            ClientError::Remote(_)
            | ClientError::Receive(_)
            | ClientError::Flush(_)
            | ClientError::OwedFlush(_)
            | ClientError::Unsigned { .. }
            | ClientError::WronglySigned { .. }
            | ClientError::Replayed { .. }
            | ClientError::OtherSequence { .. }
            | ClientError::Stuck(_) => StatusCode::BAD_GATEWAY,
            ClientError::Pause(_) | ClientError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            ClientError::Farm(farm) if farm.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            ClientError::Farm(_)
            | ClientError::SharedDirs { .. }
            | ClientError::SignedBy { .. }
            | ClientError::Flusher(_)
            | ClientError::Hook(_)
            | ClientError::NoGate
            | ClientError::Gate(_)
            | ClientError::Certificates(_)
            | ClientError::Listen { .. }
            | ClientError::Socket(_)
            | ClientError::Signals(_)
            | ClientError::NoServer
            | ClientError::Scrub(_)
            | ClientError::Task(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, chain(&error))
    }
}
