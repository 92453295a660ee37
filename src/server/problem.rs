//! Errors as the client sees them: RFC 9457 problem documents. The only place that chooses an HTTP status for an error of the core.
//!
//! Invariant: what an internal error says goes to the log, never to the client; what the client can act on is said in `detail`.

use std::error::Error;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::pack::PackError;
use crate::ingest::IngestError;
use crate::store::StoreError;
use crate::values::TreePath;
use crate::wire::api::Problem;

/// The media type of problem documents.
const MEDIA_TYPE: &str = "application/problem+json";

/// What a job is told that is cancelled: nothing else cancels one.
const STOPPING: &str = "the primary is stopping; ask again when it runs";

/// The most paths that one problem lists.
const MAX_PATHS: usize = 100;

/// A request that is not done, and what the client is told about it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    detail: String,
    paths: Vec<String>,
}

impl Refusal {
    /// Refuses with this status; `detail` says what was wrong and what to do about it.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), paths: Vec::new() }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: the request does not fit what is there now.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 500: logs the error with its causes; the client learns only where to look.
    pub(super) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the primary failed; its log says why")
    }

    /// Names the paths that it is about. Of very many only the first are sent.
    pub(super) fn about(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.paths = paths.into_iter().take(MAX_PATHS).collect();
        self
    }

    /// Says as well which of several repos were committed before this one was refused.
    pub(super) fn after<'a>(mut self, committed: impl Iterator<Item = &'a String>) -> Self {
        let committed: Vec<&str> = committed.map(String::as_str).collect();
        if !committed.is_empty() {
            self.detail = format!("{} (committed before that: {})", self.detail, committed.join(", "));
        }
        self
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Held | StoreError::HeadMoved { .. } => Self::conflict(error.to_string()),
            StoreError::NoSuchCommit(_) => Self::not_found(error.to_string()),
            StoreError::Unfit(_) => Self::bad_request(chain(&error)),
            StoreError::Cancelled => Self::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING),
            StoreError::Open { .. }
            | StoreError::Checkpoint { .. }
            | StoreError::Read { .. }
            | StoreError::Write { .. }
            | StoreError::Damaged { .. }
            | StoreError::DamagedBlocks { .. }
            | StoreError::Missing { .. }
            | StoreError::Content(_)
            | StoreError::Output(_)
            | StoreError::Chunks(_)
            | StoreError::NotWhole(_)
            | StoreError::OtherRepo { .. }
            | StoreError::Disk(_) => Self::internal(&error),
        }
    }
}

impl From<PackError> for Refusal {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Store(error) => error.into(),
            PackError::Receiver(_) | PackError::NoTree(_) | PackError::NoBlob(_) | PackError::NoChunk { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let error = match error {
            IngestError::Store(error) => return error.into(),
            error => error,
        };
        let unprocessable = || Self::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error));
        match &error {
            // What stands in staging, or stands there no more.
            IngestError::StagingMissing { .. }
            | IngestError::StagingNotADirectory { .. }
            | IngestError::StagingUnreadable { .. }
            | IngestError::WouldBeEmpty { .. }
            | IngestError::HeadMoved { .. } => Self::conflict(chain(&error)),
            IngestError::Changing { paths } => Self::conflict(error.to_string()).about(shown(paths)),
            IngestError::Unreadable { path, .. }
            | IngestError::Special { path }
            | IngestError::TooDeep { path }
            | IngestError::TreeTooLarge { path, .. }
            | IngestError::Tree { path, .. }
            | IngestError::LinkTarget { path, .. }
            | IngestError::Read { path, .. } => unprocessable().about(shown([path])),
            IngestError::Totals(_) => unprocessable(),
            // What the request asks for.
            IngestError::UnknownEnvironment { environments } => unprocessable().about(shown(environments)),
            IngestError::BadEnvironmentName { .. } | IngestError::NoEnvironments { .. } => unprocessable(),
            IngestError::Commit(_) => Self::bad_request(chain(&error)),
            IngestError::UnknownCommit { .. } => Self::not_found(error.to_string()),
            // What only the operator can mend; a setting is named to whoever asks, for nothing else would help.
            IngestError::Pattern { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
            IngestError::Cancelled => Self::new(StatusCode::SERVICE_UNAVAILABLE, STOPPING),
            IngestError::Incomplete { .. } | IngestError::HeadMissing { .. } => {
                tracing::error!(error = chain(&error), "a commit failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            IngestError::Threads(_) | IngestError::Disk(_) | IngestError::Store(_) => Self::internal(&error),
        }
    }
}

fn shown<'a>(paths: impl IntoIterator<Item = &'a TreePath>) -> impl Iterator<Item = String> {
    paths.into_iter().map(ToString::to_string)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.detail,
            paths: self.paths,
        };
        let body = serde_json::to_vec(&problem).expect("texts and numbers make JSON");
        (self.status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

/// An error and everything that led to it, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
