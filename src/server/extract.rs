//! What handlers are given: a repo, a path, a query, a JSON body, each checked before the handler runs.
//!
//! Paths are taken from the raw request target, since names in a tree are any bytes and axum's own extractors insist on UTF-8.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use super::problem::Refusal;
use super::state::{RepoState, Shared};
use crate::values::TreePath;

/// The repo that the path names: `/v1/repos/{repo}/...`.
pub(super) struct Repo(pub(super) Arc<RepoState>);

impl FromRequestParts<Shared> for Repo {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, primary: &Shared) -> Result<Self, Refusal> {
        let text = text_segment(parts, 3)?;
        primary.repo(&text).map(Self)
    }
}

/// The part of the path after the repo's own resource name: `/v1/repos/{repo}/tags/{this}`.
pub(super) struct Item(pub(super) String);

impl FromRequestParts<Shared> for Item {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        text_segment(parts, 5).map(Self)
    }
}

/// The name of a client: `/v1/clients/{this}`.
pub(super) struct ClientName(pub(super) String);

impl FromRequestParts<Shared> for ClientName {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let name = text_segment(parts, 3)?;
        let fits = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if fits {
            Ok(Self(name))
        } else {
            let shown: String = name.chars().take(100).collect();
            Err(Refusal::bad_request(format!(
                "{shown:?} is not a client's name: 1 to 255 printable ASCII characters without spaces and '/'"
            )))
        }
    }
}

/// What follows `/files/`: `/v1/repos/{repo}/commits/{id}/files/{this}`. Nothing is the root.
pub(super) struct FilePath(pub(super) TreePath);

impl FromRequestParts<Shared> for FilePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let raw = parts.uri.path().splitn(8, '/').nth(7).unwrap_or("");
        let raw = raw.strip_suffix('/').unwrap_or(raw);
        tree_path(raw).map(Self)
    }
}

/// The path whose bytes are percent-encoded in `text`.
pub(super) fn tree_path(text: &str) -> Result<TreePath, Refusal> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    TreePath::new(&bytes).map_err(|error| Refusal::bad_request(super::problem::chain(&error)))
}

/// The `at`-th part of the request's path, decoded; the empty text before the first slash is part 0.
fn text_segment(parts: &Parts, at: usize) -> Result<String, Refusal> {
    let raw = parts.uri.path().split('/').nth(at).unwrap_or("");
    let text = percent_decode_str(raw).decode_utf8();
    text.map(Into::into).map_err(|_| Refusal::bad_request(format!("{raw:?} in the path is not UTF-8")))
}

/// The query string. A parameter that `T` does not know is an error.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::bad_request(format!("the query: {}", innermost(&error)))),
        }
    }
}

/// The query of a route that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A JSON body, whatever its content type says. A key that `T` does not know is an error; no body at all counts as `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, primary: &Shared) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, primary).await.map_err(|error| body_refusal(&error))?;
        parse(if body.is_empty() { b"{}" } else { &body }).map(Self)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("the body: {error}")))
}

fn body_refusal(error: &BytesRejection) -> Refusal {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this route takes")
        }
        _ => Refusal::bad_request("the body did not arrive whole"),
    }
}

/// The text of the error at the bottom: axum's own words say nothing that the status does not.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
