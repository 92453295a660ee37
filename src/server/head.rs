//! `GET /v1/repos/{repo}/head`: the newest commit, at once or as soon as there is another than the caller knows.
//!
//! A waiting request is a task on one channel of its repo: no thread, no timer that ticks, no look at the store.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::extract::Repo;
use super::metrics::Metrics;
use super::state::{Primary, Shared};
use crate::http::{Query, Refusal};
use crate::values::CommitId;
use crate::wire::api::CommitInfo;

/// The longest wait, in seconds. Proxies on the way must let an answer take so long.
const LONGEST_WAIT: u64 = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    known: Option<CommitId>,
    #[serde(default)]
    wait: u64,
}

/// Answers 200 with a head other than `known`; 304 where there was none within `wait` seconds, or the primary stops.
pub(super) async fn show(
    State(primary): State<Shared>,
    Repo(repo): Repo,
    Query(query): Query<Wait>,
) -> Result<Response, Refusal> {
    if query.wait > LONGEST_WAIT {
        return Err(Refusal::bad_request(format!("wait={}: {LONGEST_WAIT} seconds are the limit", query.wait)));
    }
    let is_news = |head: &Option<Arc<CommitInfo>>| head.as_ref().is_some_and(|head| Some(head.commit) != query.known);
    let mut heads = repo.head.subscribe();
    if query.wait > 0 && !is_news(&heads.borrow()) {
        let _counted = Waiting::new(&primary);
        tokio::select! {
            () = primary.stopping.cancelled() => {}
            _ = tokio::time::timeout(Duration::from_secs(query.wait), heads.wait_for(is_news)) => {}
        }
    }
    let head = heads.borrow().clone();
    match head {
        None => Err(repo.no_commit_yet()),
        Some(head) if Some(head.commit) == query.known => {
            Ok((StatusCode::NOT_MODIFIED, etag(&head.commit)).into_response())
        }
        Some(head) => Ok((etag(&head.commit), axum::Json(&*head)).into_response()),
    }
}

fn etag(id: &CommitId) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{id}\""))]
}

/// Counts a request for as long as it waits, also where the caller hangs up.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn new(primary: &'a Primary) -> Self {
        primary.metrics.long_polls.inc();
        Self(&primary.metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.long_polls.dec();
    }
}
