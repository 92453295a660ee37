//! What Prometheus reads of a scrub.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::wire::api::ScrubStatus;

/// The metrics of one daemon's scrub.
#[derive(Debug, Default)]
pub struct Metrics {
    objects: Counter<u64, AtomicU64>,
    bytes: Counter<u64, AtomicU64>,
    findings: Counter<u64, AtomicU64>,
    unrepaired: Gauge<u64, AtomicU64>,
    last_pass: Gauge<i64>,
}

impl Metrics {
    /// Metrics that the daemon shows with its others.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("scrub_objects", "Records and files that the scrub has read", metrics.objects.clone());
        registry.register("scrub_bytes", "Bytes that the scrub has read and hashed", metrics.bytes.clone());
        registry.register("scrub_findings", "What the scrub has found damaged", metrics.findings.clone());
        registry.register("scrub_unrepaired", "Findings that could not be repaired yet", metrics.unrepaired.clone());
        registry.register(
            "scrub_last_pass_timestamp_seconds",
            "When everything had been read once more, in seconds since 1970; 0 for never",
            metrics.last_pass.clone(),
        );
        metrics
    }

    /// Says how the scrub does now.
    pub fn set(&self, status: Option<&ScrubStatus>) {
        let Some(status) = status else { return };
        // They never go back: the scrub keeps them over restarts.
        self.objects.inner().store(status.objects, Relaxed);
        self.bytes.inner().store(status.bytes, Relaxed);
        self.findings.inner().store(status.findings, Relaxed);
        self.unrepaired.set(status.unrepaired);
        let last = status.last_pass.as_deref().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        self.last_pass.set(last.map_or(0, jiff::Timestamp::as_second));
    }
}
