//! What Prometheus reads of a gate.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::admission::{Hold, Now, PauseError};
use crate::puppet::Route;

/// Upper borders for how long requests are held and drains take, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

type Number = Gauge<u64, AtomicU64>;

/// The counters of one gate.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<Request, Counter>,
    held_seconds: Histogram,
    drains: Family<Outcome, Counter>,
    drain_seconds: Histogram,
    refused: Family<Reason, Counter>,
    held: Number,
    running: Number,
    connections: Number,
    certificates_failing: Number,
    pub(super) log_lost: Counter,
}

/// A connection, for as long as it lives.
pub(super) struct Counted(Number);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All counters at zero, in `registry`.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            held_seconds: Histogram::new(SECONDS),
            drains: Family::default(),
            drain_seconds: Histogram::new(SECONDS),
            refused: Family::default(),
            held: Number::default(),
            running: Number::default(),
            connections: Number::default(),
            certificates_failing: Number::default(),
            log_lost: Counter::default(),
        };
        let gate = registry.sub_registry_with_prefix("gate");
        gate.register("requests", "Requests, by what they ask for and the answer's status", metrics.requests.clone());
        gate.register("held_seconds", "How long requests were held that were", metrics.held_seconds.clone());
        gate.register("drains", "Pauses, by whether what ran had ended in time", metrics.drains.clone());
        gate.register("drain_seconds", "How long a pause waited for what ran", metrics.drain_seconds.clone());
        gate.register("refused_connections", "Connections that came to nothing", metrics.refused.clone());
        gate.register("held", "Requests that are held now", metrics.held.clone());
        gate.register("running", "Requests that read code now", metrics.running.clone());
        gate.register("connections", "Connections that are open now", metrics.connections.clone());
        gate.register(
            "certificates_failing",
            "1 while changed certificates or revocation lists cannot be used, and those from before are",
            metrics.certificates_failing.clone(),
        );
        gate.register("log_lost", "Lines that the access log lost", metrics.log_lost.clone());
        metrics
    }

    pub(super) fn count_request(&self, route: Route, status: u16) {
        self.requests.get_or_create(&Request { route: route.label(), status }).inc();
    }

    pub(super) fn observe_held(&self, held: Duration) {
        self.held_seconds.observe(held.as_secs_f64());
    }

    pub(super) fn observe_drain(&self, outcome: &Result<Hold, PauseError>, waited: Duration) {
        let result = match outcome {
            Ok(_) => "drained",
            Err(PauseError::Drain { .. }) => "given-up",
            Err(PauseError::TooSoon { .. } | PauseError::Stopping) => return,
        };
        self.drains.get_or_create(&Outcome { result }).inc();
        self.drain_seconds.observe(waited.as_secs_f64());
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn count_connection(&self) -> Counted {
        self.connections.inc();
        Counted(self.connections.clone())
    }

    pub(super) fn set_certificates_failing(&self, failing: bool) {
        self.certificates_failing.set(failing.into());
    }

    pub(super) fn set_now(&self, now: &Now) {
        self.held.set(now.held as u64);
        self.running.set(now.running as u64);
    }
}
