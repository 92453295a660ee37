//! What handlers are given, checked before they run.

use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Refusal;

/// How long the rest of a body that is too large is taken in and thrown away, so that its sender gets to read why it was refused:
/// whoever still writes when the connection is closed sees a broken one, and no answer.
const HEAR_OUT: Duration = Duration::from_secs(5);

/// How long a document may take to arrive. The largest, a list of objects of 16 MiB, needs some 140 KB a second for that; whoever sends one byte at
/// a time has it end.
const ARRIVAL: Duration = Duration::from_secs(120);

/// The query string. A parameter that `T` does not know is an error.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::bad_request(format!("the query: {}", innermost(&error)))),
        }
    }
}

/// The query of a route that takes none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A JSON body, whatever its content type says. A key that `T` does not know is an error; no body at all counts as `{}`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let body = whole_within(ARRIVAL, request.into_limited_body()).await?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        serde_json::from_slice(body).map(Self).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
    }
}

/// All of a body, within the route's limit and this time.
async fn whole_within(limit: Duration, body: Body) -> Result<Vec<u8>, Refusal> {
    let late = || {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} seconds", limit.as_secs()))
    };
    tokio::time::timeout(limit, whole(body)).await.unwrap_or_else(|_| Err(late()))
}

/// All of a body, within the route's limit.
async fn whole(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(error) if is_too_large(&error) => {
                drop(bytes);
                let _ = tokio::time::timeout(HEAR_OUT, hear_out(body)).await;
                let detail = "the body is larger than this route takes";
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            Err(_) => return Err(Refusal::bad_request("the body did not arrive whole")),
        }
    }
    Ok(bytes)
}

/// Throws the rest of a body away. Past its limit each piece is an error of its own.
async fn hear_out(mut body: Body) {
    while let Some(frame) = body.frame().await {
        if frame.is_err_and(|error| !is_too_large(&error)) {
            return;
        }
    }
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}

/// The text of the error at the bottom: axum's own words say nothing that the status does not.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let drop_by_drop = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
        });
        let given_up = whole_within(Duration::from_millis(100), Body::from_stream(drop_by_drop));
        let outcome = tokio::time::timeout(Duration::from_secs(20), given_up).await.expect("not for ever");
        assert_eq!(outcome.unwrap_err().into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
