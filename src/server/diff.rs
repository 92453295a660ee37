//! Which paths differ between two commits.

use std::ops::ControlFlow;

use axum::extract::State;
use serde::Deserialize;

use super::extract::Repo;
use super::resolve::resolve;
use super::state::{Primary, Shared};
use crate::http::{Query, Refusal};
use crate::store::{Change, diff};
use crate::wire::api::{ChangeKind, ChangedPath, Diff};

/// The most paths that are listed.
const MOST_PATHS: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sides {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /v1/repos/{repo}/diff?from=&to=`. Without `to` the head, without `from` the parent of `to`.
pub(super) async fn show(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Query(sides): Query<Sides>,
) -> Result<axum::Json<Diff>, Refusal> {
    let job = move |primary: &Primary| {
        let (to, newer) = resolve(&primary.store, &repo, sides.to.as_deref().unwrap_or("head"))?;
        let from = match (sides.from, newer.parent) {
            (Some(from), _) => from,
            (None, Some(parent)) => parent.to_string(),
            (None, None) => {
                return Err(Refusal::bad_request("this is the first commit; say with from= what to compare it to"));
            }
        };
        let (from, older) = resolve(&primary.store, &repo, &from)?;
        let mut changes = Vec::new();
        let mut truncated = false;
        diff(&primary.store.snapshot(), Some(older.root.id), newer.root.id, &mut |path, change| {
            truncated = changes.len() == MOST_PATHS;
            if truncated {
                return ControlFlow::Break(());
            }
            let change = match change {
                Change::Added => ChangeKind::Added,
                Change::Modified => ChangeKind::Modified,
                Change::Removed => ChangeKind::Removed,
            };
            changes.push(ChangedPath { path: path.to_string(), change });
            ControlFlow::Continue(())
        })?;
        Ok(Diff { from, to, changes, truncated })
    };
    primary.blocking(job).await.map(axum::Json)
}
