//! Errors as the caller sees them: RFC 9457 problem documents.

use std::error::Error;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::wire::api::Problem;

/// The media type of problem documents.
const MEDIA_TYPE: &str = "application/problem+json";

/// The most paths that one problem lists.
const MAX_PATHS: usize = 100;

/// A request that is not done, and what the caller is told about it.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: String,
    paths: Vec<String>,
}

impl Refusal {
    /// Refuses with this status; `detail` says what was wrong and what to do about it.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), paths: Vec::new() }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: the request does not fit what is there now.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 500: logs the error with its causes; the caller learns only where to look.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the daemon failed; its log says why")
    }

    /// Names the paths that it is about. Of very many only the first are sent.
    #[must_use]
    pub fn about(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.paths = paths.into_iter().take(MAX_PATHS).collect();
        self
    }

    /// Changes what is said.
    #[must_use]
    pub fn saying(mut self, change: impl FnOnce(String) -> String) -> Self {
        self.detail = change(self.detail);
        self
    }
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
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
