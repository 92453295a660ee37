//! What a service manager or load balancer asks: does it live, can it serve.

use axum::extract::State;
use axum::http::StatusCode;

use super::state::{Primary, Shared};
use crate::http::{Nothing, Query, Refusal};
use crate::store::ReadStore;

/// Whether anything can be asked of the primary at all. The process answers, so it lives.
pub(super) async fn healthy(_: Query<Nothing>) -> &'static str {
    "ok\n"
}

/// Whether the primary can serve: it is not stopping, and its store can be read.
pub(super) async fn ready(State(primary): State<Shared>, _: Query<Nothing>) -> Result<&'static str, Refusal> {
    let unready = |why| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why);
    if primary.stopping.is_cancelled() {
        return Err(unready("the primary is stopping"));
    }
    let read = |primary: &Primary| Ok(primary.store.heads().map(drop)?);
    primary.blocking(read).await.map_err(|_| unready("the primary cannot read its store; its log says why"))?;
    Ok("ok\n")
}
