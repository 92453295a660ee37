//! Which path is answered by whom, and what holds for all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};

use super::state::Shared;
use super::{access, clients, commits, control, diff, fetch, files, gc, head, health, metrics, pe, tags};
use crate::http::finish_routes;

/// The largest list of objects: [`crate::wire::api::ObjectsRequest::MAX`] of them with long paths.
const OBJECTS_BODY: usize = 16 << 20;

/// The routes that others reach. Each request must carry an [`access::Caller`].
pub(super) fn public(primary: &Shared) -> Router {
    with_everything(for_all(primary), primary)
}

/// The routes of the control socket: those that others reach, and the daemon's own.
pub(super) fn with_private(primary: &Shared) -> Router {
    let private = control::routes().layer(from_fn(access::only_owner));
    with_everything(for_all(primary).merge(private), primary)
}

fn for_all(primary: &Shared) -> Router<Shared> {
    let objects = post(fetch::objects).layer(DefaultBodyLimit::max(OBJECTS_BODY));
    Router::new()
        .route("/v1/repos", get(commits::repos))
        .route("/v1/repos/{repo}/commits", get(commits::history).post(commits::create))
        .route("/v1/repos/{repo}/commits/{id}", get(commits::show))
        .route("/v1/repos/{repo}/commits/{id}/files", get(files::of_commit))
        .route("/v1/repos/{repo}/commits/{id}/files/", get(files::of_commit))
        .route("/v1/repos/{repo}/commits/{id}/files/{*path}", get(files::of_commit))
        .route("/v1/repos/{repo}/trees/{tree}/files", get(files::of_tree))
        .route("/v1/repos/{repo}/trees/{tree}/files/", get(files::of_tree))
        .route("/v1/repos/{repo}/trees/{tree}/files/{*path}", get(files::of_tree))
        .route("/v1/repos/{repo}/head", get(head::show))
        .route("/v1/repos/{repo}/progress", get(commits::progress))
        .route("/v1/repos/{repo}/rollback", post(commits::roll_back))
        .route("/v1/repos/{repo}/diff", get(diff::show))
        .route("/v1/repos/{repo}/fetch", post(fetch::fetch))
        .route("/v1/repos/{repo}/objects", objects)
        .route("/v1/repos/{repo}/tags", get(tags::list))
        .route("/v1/repos/{repo}/tags/{tag}", put(tags::set).delete(tags::remove))
        .route("/v1/repos/{repo}/gc", post(gc::collect))
        .route("/v1/clients", get(clients::list))
        .route("/v1/clients/{name}", post(clients::report))
        .route("/file-sync/v1/commit", post(pe::commit))
        .route("/status/v1/services", get(pe::services))
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .layer(from_fn_with_state(Arc::clone(primary), access::check))
}

/// The routes with what holds for all.
fn with_everything(routes: Router<Shared>, primary: &Shared) -> Router {
    finish_routes(routes)
        .layer(from_fn_with_state(Arc::clone(primary), metrics::count_request))
        .with_state(Arc::clone(primary))
}
