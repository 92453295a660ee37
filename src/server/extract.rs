//! What handlers are given besides queries and bodies: a repo, a path, each checked before the handler runs.
//!
//! Paths are taken from the raw request target, since names in a tree are any bytes and axum's own extractors insist on UTF-8.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::state::{RepoState, Shared};
use crate::http::{Refusal, chain};
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
    TreePath::new(&bytes).map_err(|error| Refusal::bad_request(chain(&error)))
}

/// The `at`-th part of the request's path, decoded; the empty text before the first slash is part 0.
fn text_segment(parts: &Parts, at: usize) -> Result<String, Refusal> {
    let raw = parts.uri.path().split('/').nth(at).unwrap_or("");
    let text = percent_decode_str(raw).decode_utf8();
    text.map(Into::into).map_err(|_| Refusal::bad_request(format!("{raw:?} in the path is not UTF-8")))
}
