//! Tags: names for commits, which GC respects.

use axum::extract::State;
use axum::http::StatusCode;

use super::commits;
use super::extract::Repo;
use super::resolve::{looks_like_id, resolve};
use super::state::{Primary, Shared};
use crate::http::{Item, Json, Nothing, Query, Refusal};
use crate::values::TagName;
use crate::wire::api::{CommitInfo, TagRequest, Tags};

/// `GET /v1/repos/{repo}/tags`.
pub(super) async fn list(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    _: Query<Nothing>,
) -> Result<axum::Json<Tags>, Refusal> {
    let job = move |primary: &Primary| {
        let tags = primary.store.tags(repo.name())?;
        Ok(Tags { tags: tags.into_iter().map(|(tag, id)| (tag.to_string(), id)).collect() })
    };
    primary.blocking(job).await.map(axum::Json)
}

/// `PUT /v1/repos/{repo}/tags/{tag}`: answers the commit. A tag that named another commit is moved.
pub(super) async fn set(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Item(text): Item,
    _: Query<Nothing>,
    Json(request): Json<TagRequest>,
) -> Result<axum::Json<CommitInfo>, Refusal> {
    let tag = tag_name(&text)?;
    if text == "head" || looks_like_id(&text) {
        return Err(Refusal::bad_request(format!(
            "{text:?} cannot be a tag: it would be mistaken for the head or an id"
        )));
    }
    let job = move |primary: &Primary| {
        let wanted = request.commit.map_or_else(|| "head".to_owned(), |id| id.to_string());
        let (id, _) = resolve(&primary.store, &repo, &wanted)?;
        primary.store.set_tag(repo.name(), &tag, &id)?;
        primary.announce(&repo)?;
        tracing::info!(repo = %repo.name(), %tag, commit = %id.short(), "tag set");
        commits::info(primary, &repo, &id.to_string())
    };
    primary.blocking(job).await.map(axum::Json)
}

/// `DELETE /v1/repos/{repo}/tags/{tag}`.
pub(super) async fn remove(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Item(text): Item,
    _: Query<Nothing>,
) -> Result<StatusCode, Refusal> {
    let tag = tag_name(&text)?;
    let job = move |primary: &Primary| {
        if !primary.store.remove_tag(repo.name(), &tag)? {
            return Err(Refusal::not_found(format!("the repo {} has no tag {tag}", repo.name())));
        }
        primary.announce(&repo)?;
        tracing::info!(repo = %repo.name(), %tag, "tag removed");
        Ok(StatusCode::NO_CONTENT)
    };
    primary.blocking(job).await
}

fn tag_name(text: &str) -> Result<TagName, Refusal> {
    text.parse().map_err(|error: crate::values::TagNameError| Refusal::bad_request(error.to_string()))
}
