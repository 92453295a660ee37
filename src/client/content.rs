//! `content.sock`: files of versions that this machine keeps no more, for who reads the farm (`code-content`, run by Puppet Server).
//!
//! Each request is passed on to the primary, and its answer streamed back; who reads slowly holds the primary back. Nothing is kept. What
//! this machine does not deploy is not asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::UnixListener;

use super::ClientError;
use super::state::Client;
use crate::connections::{MOST_LOCAL, answer_all};
use crate::datadir::CONTENT_SOCKET;
use crate::farm::Farm;
use crate::http::{
    FilePath, Item, Nothing, Query, Refusal, SocketError, finish_routes, listen_for_readers, text_segment,
};
use crate::remote::FileAnswer;
use crate::values::{RepoName, TreeId};

/// How long the primary may take to answer, and may pause within its answer. A little less than `code-content` waits, which is then told why.
const PATIENCE: Duration = Duration::from_secs(8);

/// Takes the socket. Blocking.
pub(super) fn bind(farm: &Farm) -> Result<UnixListener, SocketError> {
    listen_for_readers(farm.data(), CONTENT_SOCKET, farm.reader_group())
}

/// Answers until the client stops.
pub(super) async fn serve(client: Arc<Client>, listener: UnixListener) {
    let routes = Router::new().route("/v1/repos/{repo}/trees/{tree}/files/{*path}", get(file));
    let routes = finish_routes(routes).with_state(Arc::clone(&client));
    answer_all(listener, routes, MOST_LOCAL, client.stop.clone()).await;
    let _ = client.farm.data().dir.remove_file(CONTENT_SOCKET);
}

async fn file(
    State(client): State<Arc<Client>>,
    Item(tree): Item,
    FilePath(path): FilePath,
    _: Query<Nothing>,
    parts: Parts,
) -> Result<Response, Refusal> {
    let repo = text_segment(&parts, 3)?.parse::<RepoName>().map_err(|error| Refusal::bad_request(error.to_string()))?;
    let tree: TreeId =
        tree.parse().map_err(|error: crate::values::ParseIdError| Refusal::bad_request(error.to_string()))?;
    client.repo(&repo)?;
    let asked = client.remote.tree_file(&repo, tree, &path);
    let answer = tokio::select! {
        () = client.stop.cancelled() => return Err(ClientError::Stopping.into()),
        answer = tokio::time::timeout(PATIENCE, asked) => answer,
    };
    let FileAnswer::File(content) = answer.map_err(|_| slow(&client))?.map_err(ClientError::from)? else {
        return Err(Refusal::not_found(format!("{path} is no file")).about([path.to_string()]));
    };
    let Some(length) = content.length() else {
        let place = client.remote.place();
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, format!("{place} did not say how long the file is")));
    };
    let content = content.until(client.stop.clone()).pausing_at_most(PATIENCE);
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    Ok((headers, Body::from_stream(content.pieces())).into_response())
}

fn slow(client: &Client) -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, format!("{} did not answer within {PATIENCE:?}", client.remote.place()))
}
