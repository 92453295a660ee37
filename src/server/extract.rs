//! What the primary's handlers are given besides what every daemon's are: a repo, a client's name, each checked before the handler runs.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::access::Asked;
use super::state::{RepoState, Shared};
use crate::http::{Refusal, text_segment};

/// The repo that the path names: `/v1/repos/{repo}/...`. The caller may do with it what the request asks for.
pub(super) struct Repo(pub(super) Arc<RepoState>);

impl FromRequestParts<Shared> for Repo {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, primary: &Shared) -> Result<Self, Refusal> {
        let text = text_segment(parts, 3)?;
        let asked = Asked::of(parts)?;
        let repo = primary.repo(&text, asked.rights())?;
        asked.check(repo.name())?;
        Ok(Self(repo))
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
