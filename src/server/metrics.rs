//! What Prometheus reads from `/metrics`.

use std::sync::atomic::AtomicU64;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::state::Shared;
use crate::http::{Nothing, Query, Refusal};
use crate::progress::{Phase, Snapshot};
use crate::scrub;
use crate::values::RepoName;

/// The media type of the text that is answered.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper borders of the commit histogram, in seconds: from one without changes to the first of a large estate on a slow disk.
const COMMIT_SECONDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRepo {
    repo: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabels {
    repo: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// The result of attempts that left the head as it was.
const REFUSED: &str = "refused";

/// How an attempt to commit ended.
#[derive(Clone, Copy)]
pub(super) enum CommitResult {
    /// A commit was created.
    Created,
    /// Nothing had changed.
    Unchanged,
    /// It was refused or failed.
    Refused,
}

/// The counters of one primary.
pub(super) struct Metrics {
    registry: Registry,
    commits: Family<CommitLabels, Counter>,
    commit_seconds: Family<OfRepo, Histogram, fn() -> Histogram>,
    head_sequence: Family<OfRepo, Gauge<u64, AtomicU64>>,
    commit_failing: Family<OfRepo, Gauge>,
    clients_behind: Family<OfRepo, Gauge>,
    committing: Family<OfRepo, Gauge>,
    commit_done: Family<OfRepo, Gauge<u64, AtomicU64>>,
    commit_total: Family<OfRepo, Gauge<u64, AtomicU64>>,
    collecting: Gauge,
    scrub: scrub::Metrics,
    http_requests: Family<HttpLabels, Counter>,
    /// Streams of a whole commit, begun.
    pub(super) fetches: Counter,
    /// Requests for single objects, begun.
    pub(super) object_requests: Counter,
    /// Bytes of both kinds of stream, as sent.
    pub(super) sent_bytes: Counter,
    /// Requests for a head that wait now.
    pub(super) long_polls: Gauge,
    /// Clients seen lately.
    pub(super) clients_seen: Gauge,
}

impl Metrics {
    /// All counters at zero.
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("sceneshift");
        let scrub = scrub::Metrics::register(&mut registry);
        let commits = Family::default();
        registry.register("commits", "Attempts to commit", commits.clone());
        let histogram: fn() -> Histogram = || Histogram::new(COMMIT_SECONDS);
        let commit_seconds = Family::new_with_constructor(histogram);
        registry.register("commit_seconds", "How long successful commits took", commit_seconds.clone());
        let head_sequence = Family::default();
        registry.register("head_sequence", "Sequence number of the newest commit", head_sequence.clone());
        let commit_failing = Family::default();
        registry.register("commit_failing", "1 while the last commit was refused or failed", commit_failing.clone());
        let clients_behind = Family::default();
        registry.register("clients_behind", "Clients seen lately that do not run the head", clients_behind.clone());
        let committing = Family::default();
        registry.register("committing", "1 while a commit is under way", committing.clone());
        let commit_done = Family::default();
        registry.register("commit_files_done", "Files done in the commit's phase under way", commit_done.clone());
        let commit_total = Family::default();
        registry.register("commit_files_total", "How many there are in it, 0 where unknown", commit_total.clone());
        let collecting = Gauge::default();
        registry.register("collecting", "1 while GC is under way", collecting.clone());
        let http_requests = Family::default();
        registry.register("http_requests", "Requests answered", http_requests.clone());
        let fetches = Counter::default();
        registry.register("fetches", "Fetches begun", fetches.clone());
        let object_requests = Counter::default();
        registry.register("object_requests", "Requests for single objects begun", object_requests.clone());
        let sent_bytes = Counter::default();
        registry.register("sent_bytes", "Bytes sent by fetches and object requests", sent_bytes.clone());
        let long_polls = Gauge::default();
        registry.register("long_polls", "Requests that wait for a new head", long_polls.clone());
        let clients_seen = Gauge::default();
        registry.register("clients_seen_lately", "Clients that reported within five minutes", clients_seen.clone());
        Self {
            registry,
            commits,
            commit_seconds,
            head_sequence,
            commit_failing,
            clients_behind,
            committing,
            commit_done,
            commit_total,
            collecting,
            scrub,
            http_requests,
            fetches,
            object_requests,
            sent_bytes,
            long_polls,
            clients_seen,
        }
    }

    /// Counts one attempt to commit; `seconds` where it succeeded.
    pub(super) fn count_commit(&self, repo: &RepoName, result: CommitResult, seconds: Option<f64>) {
        let name = match result {
            CommitResult::Created => "created",
            CommitResult::Unchanged => "unchanged",
            CommitResult::Refused => REFUSED,
        };
        self.commits.get_or_create(&CommitLabels { repo: repo.to_string(), result: name }).inc();
        if let Some(seconds) = seconds {
            self.commit_seconds.get_or_create(&OfRepo { repo: repo.to_string() }).observe(seconds);
        }
    }

    /// Says which head a repo has now.
    pub(super) fn set_head(&self, repo: &RepoName, sequence: u64) {
        self.head_sequence.get_or_create(&OfRepo { repo: repo.to_string() }).set(sequence);
    }

    fn set_failing(&self, repo: &RepoName, failing: bool) {
        self.commit_failing.get_or_create(&OfRepo { repo: repo.to_string() }).set(failing.into());
        // There from the start, so that the first failure is an increase.
        drop(self.commits.get_or_create(&CommitLabels { repo: repo.to_string(), result: REFUSED }));
    }

    fn set_progress(&self, repo: &RepoName, progress: &Snapshot) {
        let of = OfRepo { repo: repo.to_string() };
        self.committing.get_or_create(&of).set((progress.phase != Phase::Idle).into());
        self.commit_done.get_or_create(&of).set(progress.files);
        self.commit_total.get_or_create(&of).set(progress.total_files);
    }

    fn set_behind(&self, repo: &RepoName, clients: i64) {
        self.clients_behind.get_or_create(&OfRepo { repo: repo.to_string() }).set(clients);
    }
}

/// `GET /metrics`.
pub(super) async fn show(State(primary): State<Shared>, _: Query<Nothing>) -> Result<Response, Refusal> {
    let metrics = &primary.metrics;
    metrics.clients_seen.set(count(primary.clients.seen_lately()));
    for (name, repo) in &primary.repos {
        metrics.set_failing(name, repo.failure.get().is_some());
        metrics.set_progress(name, &repo.progress.snapshot());
        metrics.set_behind(name, count(primary.clients.behind(name, repo.head_id())));
    }
    metrics.collecting.set((primary.gc.snapshot().phase != Phase::Idle).into());
    metrics.scrub.set(primary.scrub.status().as_ref());
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(|error| Refusal::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

fn count(clients: usize) -> i64 {
    i64::try_from(clients).unwrap_or(i64::MAX)
}

/// Counts a request by the route that it matched, never by its path: a caller must not be able to invent time series.
pub(super) async fn count_request(State(primary): State<Shared>, request: Request<Body>, next: Next) -> Response {
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let labels = HttpLabels { method, route, status: response.status().as_u16() };
    primary.metrics.http_requests.get_or_create(&labels).inc();
    response
}
