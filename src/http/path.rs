//! What handlers are given of a request's path, checked before they run.
//!
//! It is taken from the raw request target, since names in a tree are any bytes and axum's own extractors insist on UTF-8.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::{Refusal, chain};
use crate::values::TreePath;

/// The part of the path after the repo's own resource name: `/v1/repos/{repo}/tags/{this}`.
#[derive(Debug)]
pub struct Item(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Item {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        text_segment(parts, 5).map(Self)
    }
}

/// What follows `/files/`: `/v1/repos/{repo}/commits/{id}/files/{this}`. Nothing is the root.
#[derive(Debug)]
pub struct FilePath(pub TreePath);

impl<S: Send + Sync> FromRequestParts<S> for FilePath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let raw = parts.uri.path().splitn(8, '/').nth(7).unwrap_or("");
        let raw = raw.strip_suffix('/').unwrap_or(raw);
        tree_path(raw).map(Self)
    }
}

/// The path whose bytes are percent-encoded in `text`.
pub fn tree_path(text: &str) -> Result<TreePath, Refusal> {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    TreePath::new(&bytes).map_err(|error| Refusal::bad_request(chain(&error)))
}

/// The `at`-th part of the request's path, decoded; the empty text before the first slash is part 0.
pub fn text_segment(parts: &Parts, at: usize) -> Result<String, Refusal> {
    let raw = parts.uri.path().split('/').nth(at).unwrap_or("");
    let text = percent_decode_str(raw).decode_utf8();
    text.map(Into::into).map_err(|_| Refusal::bad_request(format!("{raw:?} in the path is not UTF-8")))
}
