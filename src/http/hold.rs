//! A hold that lasts as long as a connection: a killed fsck leaves nothing held.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Refusal;
use crate::wire::api::FsckHold;

/// How often a hold shows that it lasts; also how soon it is noticed that nobody listens any more.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Answers with `told`, then with a blank line each second. `hold` is dropped when the caller closes the connection, or at `stop`.
pub fn hold_answer(told: &FsckHold, hold: impl Send + 'static, stop: CancellationToken) -> Result<Response, Refusal> {
    let mut first = serde_json::to_vec(told).map_err(|error| Refusal::internal(&error))?;
    first.push(b'\n');
    let signs = futures_util::stream::unfold(hold, move |hold| {
        let stop = stop.clone();
        async move {
            tokio::select! {
                () = stop.cancelled() => None,
                () = tokio::time::sleep(SIGN_OF_LIFE) => Some((Bytes::from_static(b"\n"), hold)),
            }
        }
    });
    let lines = futures_util::stream::once(std::future::ready(Bytes::from(first))).chain(signs);
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
